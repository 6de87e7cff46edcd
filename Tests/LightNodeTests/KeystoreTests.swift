import Foundation
import Glibc
import LightNode
import MeshCrypto
import MeshWire
import Testing

@Suite("Keystore")
struct KeystoreTests {
  private let passphrase = Array("correct horse".utf8)

  @Test func aPlainKeyComesBackTheSame() throws {
    let key = try IdentityKey()
    let file = try KeyFile(KeyFile(plain: key).encoded)
    #expect(file.keyHash == key.keyHash)
    #expect(try file.open(passphrase: nil).seed == key.seed)
  }

  @Test func aSealedKeyOpensWithItsPassphraseOnly() throws {
    let key = try IdentityKey()
    let file = try KeyFile(KeyFile(sealing: key, passphrase: passphrase).encoded)
    #expect(file.isSealed)
    #expect(file.keyHash == key.keyHash)
    #expect(try file.open(passphrase: passphrase).seed == key.seed)
    #expect(throws: KeyFile.Refusal.wrongPassphrase) { try file.open(passphrase: Array("wrong".utf8)) }
    #expect(throws: KeyFile.Refusal.passphraseNeeded) { try file.open(passphrase: nil) }
    #expect(throws: KeyFile.Refusal.passphraseNeeded) { try file.open(passphrase: []) }
  }

  @Test func aSealedFileHoldsNoTraceOfTheSeed() throws {
    let key = try IdentityKey()
    let bytes = try KeyFile(sealing: key, passphrase: passphrase).encoded
    #expect(!bytes.hex.contains(key.seed.hex))
  }

  @Test("The header of a sealed file is authenticated: another KeyHash in it does not open")
  func headerIsAuthenticated() throws {
    let key = try IdentityKey()
    let other = try IdentityKey()
    var bytes = Array(try KeyFile(sealing: key, passphrase: passphrase).encoded.dropLast(32))
    bytes.replaceSubrange(10..<42, with: other.keyHash.bytes)
    let forged = try KeyFile(bytes + Primitives.sha256(bytes))
    #expect(throws: KeyFile.Refusal.wrongPassphrase) { try forged.open(passphrase: passphrase) }
  }

  @Test("A plain file whose KeyHash is not that of its seed is damaged")
  func keyHashIsChecked() throws {
    var bytes = Array(KeyFile(plain: try IdentityKey()).encoded.dropLast(32))
    bytes.replaceSubrange(10..<42, with: try IdentityKey().keyHash.bytes)
    let forged = try KeyFile(bytes + Primitives.sha256(bytes))
    #expect(throws: KeyFile.Refusal.damaged) { try forged.open(passphrase: nil) }
  }

  @Test func everyCutAndEveryFlippedByteIsRefused() throws {
    let bytes = KeyFile(plain: try IdentityKey()).encoded
    for count in 0..<bytes.count {
      #expect(throws: KeyFile.Refusal.self) { try KeyFile(Array(bytes[..<count])) }
    }
    for index in bytes.indices {
      var altered = bytes
      altered[index] ^= 1
      #expect(throws: KeyFile.Refusal.self) { try KeyFile(altered) }
    }
  }

  @Test func aCostThatWouldExhaustMemoryIsRefused() throws {
    var bytes = Array(try KeyFile(sealing: IdentityKey(), passphrase: passphrase).encoded.dropLast(32))
    bytes[42] = 40
    #expect(throws: KeyFile.Refusal.damaged) { try KeyFile(bytes + Primitives.sha256(bytes)) }
  }

  @Test func armourGoesBothWays() throws {
    let key = try IdentityKey()
    let text = KeyFile(plain: key).armoured
    #expect(try KeyFile(armoured: "\n  " + text + "\n").open(passphrase: nil).seed == key.seed)
    #expect(throws: KeyFile.Refusal.notAKeyFile) { try KeyFile(armoured: "hello") }
  }

  @Test func aCreatedKeyHasMode0600InADirectoryOfMode0700() throws {
    let folder = try TemporaryFolder()
    let store = Keystore(directory: folder.path + "/state")
    let key = try IdentityKey()
    try store.create(KeyFile(plain: key))
    #expect(try folder.mode(of: store.path) == 0o600)
    #expect(try folder.mode(of: store.directory) == 0o700)
    #expect(try store.open(passphrase: nil).seed == key.seed)
    #expect(try FileManager.default.contentsOfDirectory(atPath: store.directory) == ["identity.key"])
  }

  @Test("init never overwrites: not a key, not a damaged file, not a dangling link")
  func neverOverwrites() throws {
    let folder = try TemporaryFolder()
    let store = Keystore(directory: folder.path)
    let key = try IdentityKey()
    try store.create(KeyFile(plain: key))
    #expect(throws: Keystore.Failure.exists(path: store.path)) {
      try store.create(KeyFile(plain: IdentityKey()))
    }
    #expect(try store.open(passphrase: nil).seed == key.seed)
    try Data("half".utf8).write(to: URL(filePath: store.path))
    #expect(throws: Keystore.Failure.exists(path: store.path)) {
      try store.create(KeyFile(plain: IdentityKey()))
    }
    #expect(try Data(contentsOf: URL(filePath: store.path)) == Data("half".utf8))
    try FileManager.default.removeItem(atPath: store.path)
    try FileManager.default.createSymbolicLink(
      atPath: store.path, withDestinationPath: folder.path + "/elsewhere")
    #expect(throws: Keystore.Failure.exists(path: store.path)) {
      try store.create(KeyFile(plain: IdentityKey()))
    }
    #expect(!FileManager.default.fileExists(atPath: folder.path + "/elsewhere"))
  }

  @Test("A key file that others can read is refused, with the mend", arguments: [0o640, 0o604, 0o620])
  func othersCanRead(mode: Int) throws {
    let folder = try TemporaryFolder()
    let store = Keystore(directory: folder.path)
    try store.create(KeyFile(plain: IdentityKey()))
    try folder.setMode(mode, of: store.path)
    let failure = #expect(throws: Keystore.Failure.self) { try store.read() }
    #expect(failure?.next == "chmod 600 \(store.path)")
  }

  @Test("A state directory that others can enter is refused, with the mend")
  func othersCanEnter() throws {
    let folder = try TemporaryFolder()
    let store = Keystore(directory: folder.path)
    try store.create(KeyFile(plain: IdentityKey()))
    try folder.setMode(0o755, of: folder.path)
    let failure = #expect(throws: Keystore.Failure.self) { try store.read() }
    #expect(failure?.next == "chmod 700 \(folder.path)")
  }

  @Test func aLinkInPlaceOfTheKeyIsRefused() throws {
    let folder = try TemporaryFolder()
    let store = Keystore(directory: folder.path)
    let other = try folder.write("x", to: "other")
    try FileManager.default.createSymbolicLink(atPath: store.path, withDestinationPath: other)
    #expect(throws: Keystore.Failure.notRegular(path: store.path)) { try store.read() }
  }

  @Test func aMissingKeyNamesTheNextStep() throws {
    let folder = try TemporaryFolder()
    let failure = #expect(throws: Keystore.Failure.self) {
      try Keystore(directory: folder.path).open(passphrase: nil)
    }
    #expect(failure == .missing(path: folder.path + "/identity.key"))
    #expect(failure?.next.contains("shadowmesh init") == true)
  }

  @Test func aHalfWrittenKeyIsReportedAndLeftAsItIs() throws {
    let folder = try TemporaryFolder()
    let store = Keystore(directory: folder.path)
    let half = Data(KeyFile(plain: try IdentityKey()).encoded.prefix(60))
    try half.write(to: URL(filePath: store.path))
    try folder.setMode(0o600, of: store.path)
    #expect(throws: Keystore.Failure.unreadable(path: store.path, .damaged)) {
      try store.open(passphrase: nil)
    }
    #expect(try Data(contentsOf: URL(filePath: store.path)) == half)
  }

  @Test("A key that belongs to another user is refused")
  func foreignKey() throws {
    let folder = try TemporaryFolder()
    let store = Keystore(directory: folder.path)
    try store.create(KeyFile(plain: IdentityKey()))
    guard geteuid() == 0 else { return }
    // Another user's file in our own directory.
    #expect(chown(store.path, 4_242, 4_242) == 0)
    let failure = #expect(throws: Keystore.Failure.self) { try store.read() }
    #expect(failure?.description.contains("belongs to another user") == true)
  }

  @Test("The PeerID's file is no way to elsewhere: a link in its place is not followed")
  func peerIDFileIsNoLink() throws {
    let folder = try TemporaryFolder()
    let victim = try folder.write("secret", to: "victim")
    try folder.setMode(0o600, of: victim)
    let path = folder.path + "/peer_id.txt"
    try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: victim)
    let peerID = try IdentityKey().keyHash.peerID
    PeerIDFile.writeIfPossible(peerID, to: path)
    #expect(try folder.mode(of: victim) == 0o600)
    #expect(try String(contentsOfFile: victim, encoding: .utf8) == "secret")
    try FileManager.default.removeItem(atPath: path)
    PeerIDFile.writeIfPossible(peerID, to: path)
    #expect(try String(contentsOfFile: path, encoding: .utf8) == "\(peerID)\n")
    #expect(try folder.mode(of: path) == 0o644)
  }
}
