import Daemon
import Foundation
import Glibc
public import MeshCrypto

/// The identity key in a state directory: `identity.key`, mode 0600, in a directory of mode 0700.
///
/// Nothing here ever replaces or removes a key: not `create`, not a damaged file, not a crash half-way.
public struct Keystore: Sendable {
  /// The directory, absolute.
  public let directory: String

  public init(directory: String) { self.directory = directory }

  /// Where the key is.
  public var path: String { directory + "/identity.key" }

  /// Why a key could not be read or made. `description` is for people and names the next step.
  public enum Failure: Error, Hashable, Sendable {
    case missing(path: String)
    case exists(path: String)
    case notPermitted(path: String)
    /// `mode` is what the file or directory has; `mend` a command that repairs it.
    case readableByOthers(path: String, mode: UInt32, mend: String)
    case notRegular(path: String)
    case unreadable(path: String, KeyFile.Refusal)
    case system(operation: String, path: String, reason: String)
  }

  /// Reads and checks the file. The key inside may still need a passphrase.
  public func read() throws(Failure) -> KeyFile {
    try checkDirectory()
    let found = try attributes(of: path)
    guard found.isRegular else { throw .notRegular(path: path) }
    guard found.mode & 0o077 == 0 else {
      throw .readableByOthers(path: path, mode: found.mode, mend: "chmod 600 \(path)")
    }
    let bytes: [UInt8]?
    do { bytes = try file.read() } catch { throw failure(error) }
    guard let bytes else { throw .missing(path: path) }
    do { return try KeyFile(bytes) } catch { throw .unreadable(path: path, error) }
  }

  /// Reads the key.
  public func open(passphrase: [UInt8]?) throws(Failure) -> IdentityKey {
    let file = try read()
    do { return try file.open(passphrase: passphrase) } catch {
      throw .unreadable(path: path, error)
    }
  }

  /// Writes a new key. Refuses when there is a file of that name already, whatever it holds.
  ///
  /// The bytes are on the disk before the name appears, and the name never replaces another. When run by
  /// root, the file gets the directory's owner, so that the daemon's user can read it.
  public func create(_ key: KeyFile) throws(Failure) {
    do { try file.makeDirectory() } catch { throw failure(error) }
    try checkDirectory()
    do { try file.createForDirectoryOwner(key.encoded) } catch { throw failure(error) }
  }

  private var file: StateFile { StateFile(path: path, sizeLimit: 4_096, isSecret: true) }

  private func checkDirectory() throws(Failure) {
    let found = try attributes(of: directory)
    guard found.mode & 0o077 == 0 else {
      throw .readableByOthers(path: directory, mode: found.mode, mend: "chmod 700 \(directory)")
    }
  }

  private struct Attributes {
    var isRegular: Bool
    var mode: UInt32
  }

  /// Of the name itself: a link is not followed.
  private func attributes(of path: String) throws(Failure) -> Attributes {
    let found: [FileAttributeKey: Any]
    do { found = try FileManager.default.attributesOfItem(atPath: path) } catch {
      switch (error as? CocoaError)?.code {
      case .fileReadNoSuchFile?, .fileNoSuchFile?: throw .missing(path: self.path)
      case .fileReadNoPermission?: throw .notPermitted(path: path)
      default: throw .system(operation: "inspect", path: path, reason: "\(error)")
      }
    }
    func number(_ key: FileAttributeKey) -> UInt32 { (found[key] as? NSNumber)?.uint32Value ?? 0 }
    return Attributes(
      isRegular: found[.type] as? FileAttributeType == .typeRegular, mode: number(.posixPermissions))
  }

  private func failure(_ error: StateFileError) -> Failure {
    switch error.reason {
    case .exists: .exists(path: path)
    // A name that is taken by something else is taken.
    case .symbolicLink, .notAFile:
      (try? attributes(of: path)) == nil ? .notRegular(path: path) : .exists(path: path)
    case .tooLarge: .unreadable(path: path, .notAKeyFile)
    case .diskFull: .system(operation: "write", path: path, reason: "no space is left")
    case .system(let cause, _) where cause.code == EACCES || cause.code == EPERM: .notPermitted(path: path)
    case .system(let cause, let step): .system(operation: step, path: path, reason: "\(cause)")
    case .openToOthers, .foreignOwner, .directoryOpenToOthers:
      .system(operation: "use", path: path, reason: error.description)
    }
  }
}

extension Keystore.Failure: CustomStringConvertible {
  public var description: String {
    switch self {
    case .missing(let path): "there is no key at \(path)"
    case .exists(let path): "\(path) exists already and is never overwritten"
    case .notPermitted(let path): "no permission for \(path)"
    case .readableByOthers(let path, let mode, _):
      "\(path) has mode 0\(String(mode, radix: 8)): others could read the key"
    case .notRegular(let path): "\(path) is not a regular file"
    case .unreadable(let path, .notAKeyFile): "\(path) is not a key file, or was cut off"
    case .unreadable(let path, .unknownVersion(let version)):
      "\(path) has key format \(version); this release knows format \(KeyFile.version)"
    case .unreadable(let path, .damaged):
      "\(path) is damaged (its checksum does not hold); it was left as it is"
    case .unreadable(let path, .passphraseNeeded): "\(path) needs a passphrase"
    case .unreadable(let path, .wrongPassphrase): "that passphrase does not open \(path)"
    case .system(let operation, let path, let reason): "\(path): could not \(operation): \(reason)"
    }
  }

  /// What a person can do about it, as a sentence or a command.
  public var next: String {
    switch self {
    case .missing: "make one with `shadowmesh init`, or bring yours with `shadowmesh key import`"
    case .exists(let path): "keep using it, or move it away first: mv \(path) \(path).old"
    case .notPermitted: "run the command as root or as the daemon's user"
    case .readableByOthers(_, _, let mend): mend
    case .notRegular(let path): "move it away: mv \(path) \(path).old"
    case .unreadable(_, .unknownVersion): "install the release that wrote it"
    case .unreadable(let path, .notAKeyFile), .unreadable(let path, .damaged):
      "move it away (mv \(path) \(path).damaged) and bring back an exported copy: shadowmesh key import FILE"
    case .unreadable(_, .passphraseNeeded): "give it in a file: --passphrase-file FILE"
    case .unreadable(_, .wrongPassphrase):
      "try again, or bring back an exported copy: shadowmesh key import FILE"
    case .system(_, _, let reason) where reason.contains("space"): "free some space and try again"
    case .system: "see that the file system is there, writable and sound"
    }
  }
}
