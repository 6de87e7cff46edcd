import ArgumentParser
import ControlAPI
import Foundation
import Glibc
import LightNode
import MeshCrypto
import MeshWire

/// This node's names, as `init`, `id` and `key import` print them.
struct IdentityReport: Encodable {
  var peerID: String
  var keyHash: String
  var address: String

  init(_ keyHash: KeyHash) {
    peerID = keyHash.peerID.description
    self.keyHash = keyHash.description
    address = OverlayAddress(of: keyHash.peerID).description
  }

  func show(_ output: OutputOptions) {
    if output.json { return printJSON(self) }
    printFields([("PeerID", peerID), ("KeyHash", keyHash), ("address", address)])
  }
}

/// `shadowmesh init`.
struct InitCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "init", abstract: "Make this node's key. Never overwrites one.",
    discussion:
      "The key goes to identity.key in the state directory, mode 0600. Without a passphrase, unless asked.")

  @OptionGroup var output: OutputOptions
  @OptionGroup var file: FileOptions
  @Flag(help: "Seal the key under a passphrase (asked for twice, or from --passphrase-file).")
  var passphrase = false
  @OptionGroup var secret: PassphraseOptions

  func run() throws {
    try reporting(output) {
      let configuration = try file.load()
      let store = Keystore(directory: configuration.stateDirectory)
      if case .success = Result(catching: { try store.read() }) {
        throw Keystore.Failure.exists(path: store.path)
      }
      let key = try IdentityKey()
      let keyFile: KeyFile
      if passphrase || secret.passphraseFile != nil {
        let first = try secret.read(prompt: "Passphrase for the new key")
        if secret.passphraseFile == nil, try secret.read(prompt: "Again") != first {
          throw Complaint("key", "the two passphrases differ", next: "try again", code: 64)
        }
        keyFile = try KeyFile(sealing: key, passphrase: first)
      } else {
        keyFile = KeyFile(plain: key)
      }
      try store.create(keyFile)
      PeerIDFile.writeIfPossible(key.keyHash.peerID, to: configuration.peerIDFile)
      IdentityReport(key.keyHash).show(output)
      if !output.json {
        print("The key is in \(store.path). Keep a copy: shadowmesh key export --out FILE")
        print("next: systemctl start shadowmesh-lightnode")
      }
    }
  }
}

/// `shadowmesh id`.
struct IdentityCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "id", abstract: "Show this node's PeerID, KeyHash and overlay address.",
    discussion: "Asks the daemon; while it is not running, reads the key file.")

  @OptionGroup var daemon: DaemonOptions

  func run() throws {
    try reporting(daemon.output) {
      let keyHash: KeyHash
      do {
        guard case .status(let status) = try daemon.client.send(.status),
          let hash = KeyHash(hex: status.keyHash)
        else { throw Complaint("failed", "the daemon gave another answer than was asked for", code: 1) }
        keyHash = hash
      } catch ControlClient.Failure.notRunning {
        keyHash = try Keystore(directory: daemon.file.load().stateDirectory).read().keyHash
      }
      IdentityReport(keyHash).show(daemon.output)
    }
  }
}

/// `shadowmesh key …`.
struct KeyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "key", abstract: "Take a copy of the key, or bring one back.",
    subcommands: [KeyExportCommand.self, KeyImportCommand.self])
}

/// `shadowmesh key export`.
struct KeyExportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export", abstract: "Write a copy of the key as text. Whoever has it is this node.")

  @OptionGroup var output: OutputOptions
  @OptionGroup var file: FileOptions
  @Option(
    help: ArgumentHelp("Write to this new file (mode 0600) in place of standard output.", valueName: "path"),
    completion: .file())
  var out: String?
  @Flag(help: "Seal the copy under a new passphrase.")
  var seal = false
  @OptionGroup var secret: PassphraseOptions

  func run() throws {
    try reporting(output) {
      let store = Keystore(directory: try file.load().stateDirectory)
      var copy = try store.read()
      if seal {
        let opened: IdentityKey
        if copy.isSealed {
          throw Complaint(
            "key", "the key is sealed already",
            next: "export it without --seal: the copy keeps its passphrase",
            code: 7)
        }
        opened = try store.open(passphrase: nil)
        copy = try KeyFile(sealing: opened, passphrase: secret.read(prompt: "Passphrase for the copy"))
      }
      if let out {
        try Self.writeNew(copy.armoured, to: out)
        if output.json {
          printJSON(CopyReport(path: out, sealed: copy.isSealed))
        } else {
          print("The key is in \(out), mode 0600.")
        }
      } else if output.json {
        printJSON(CopyReport(key: copy.armoured, sealed: copy.isSealed))
      } else {
        print(copy.armoured, terminator: "")
        if isatty(1) == 1 { writeToStandardError("This is the key itself: do not leave it on the screen.") }
      }
    }
  }

  private struct CopyReport: Encodable {
    var path: String?
    var key: String?
    var sealed: Bool
  }

  private static func writeNew(_ text: String, to path: String) throws {
    let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else {
      let code = errno
      throw Complaint(
        "key", "cannot make \(path): \(unsafe String(cString: strerror(code)))",
        next: code == EEXIST ? "name a file that is not there yet" : "", code: code == EEXIST ? 7 : 4)
    }
    let handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    try handle.write(contentsOf: Data(text.utf8))
    try handle.synchronize()
  }
}

/// `shadowmesh key import`.
struct KeyImportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "import", abstract: "Bring back an exported key. Never overwrites one.",
    discussion: "A sealed copy stays sealed; its passphrase is asked for once, to see that it opens.")

  @OptionGroup var output: OutputOptions
  @OptionGroup var file: FileOptions
  @Argument(help: "The exported key; - for standard input.", completion: .file())
  var path: String
  @OptionGroup var secret: PassphraseOptions

  func run() throws {
    try reporting(output) {
      let configuration = try file.load()
      let text = String(decoding: try readInput(path, limit: 16_384), as: UTF8.self)
      let store = Keystore(directory: configuration.stateDirectory)
      let copy: KeyFile
      let key: IdentityKey
      do {
        copy = try KeyFile(armoured: text)
        key = try copy.open(
          passphrase: copy.isSealed ? secret.read(prompt: "Passphrase of the copy") : nil)
      } catch let refusal as KeyFile.Refusal {
        throw Keystore.Failure.unreadable(path: path, refusal)
      }
      try store.create(copy)
      PeerIDFile.writeIfPossible(key.keyHash.peerID, to: configuration.peerIDFile)
      IdentityReport(key.keyHash).show(output)
    }
  }
}

private struct VersionReport: Encodable {
  var version: String
  /// The version of the control protocol.
  var control: Int
}

/// `shadowmesh version`.
struct VersionCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "version", abstract: "Show the version.")
  @OptionGroup var output: OutputOptions

  func run() throws {
    if output.json {
      printJSON(VersionReport(version: Release.version, control: ControlLine.version))
    } else {
      print("shadowmesh \(Release.version)")
    }
  }
}
