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
    let descriptor = unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard descriptor >= 0 else { throw failure("open", path, errno) }
    defer { _ = close(descriptor) }
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else { throw failure("stat", path, errno) }
    guard status.st_mode & S_IFMT == S_IFREG else { throw .notRegular(path: path) }
    let mode = status.st_mode & 0o7777
    guard mode & 0o077 == 0 else {
      throw .readableByOthers(path: path, mode: mode, mend: "chmod 600 \(path)")
    }
    var bytes = [UInt8](repeating: 0, count: 4_096)
    var filled = 0
    while filled < bytes.count {
      let count = unsafe bytes.withUnsafeMutableBytes { buffer in
        unsafe Glibc.read(descriptor, buffer.baseAddress?.advanced(by: filled), buffer.count - filled)
      }
      if count == 0 { break }
      if count < 0 {
        if errno == EINTR { continue }
        throw failure("read", path, errno)
      }
      filled += count
    }
    do {
      return try KeyFile(Array(bytes[..<filled]))
    } catch { throw .unreadable(path: path, error) }
  }

  /// Reads the key.
  public func open(passphrase: [UInt8]?) throws(Failure) -> IdentityKey {
    let file = try read()
    do {
      return try file.open(passphrase: passphrase)
    } catch { throw .unreadable(path: path, error) }
  }

  /// Writes a new key. Refuses when there is a file of that name already, whatever it holds.
  ///
  /// The bytes are on disk under another name before the final name appears, by link(2), which never
  /// replaces. When run by root, the file gets the directory's owner, so that the daemon's user can read it.
  public func create(_ file: KeyFile) throws(Failure) {
    try makeDirectory()
    try checkDirectory()
    var existing = stat()
    if unsafe lstat(path, &existing) == 0 { throw .exists(path: path) }
    let temporary = "\(directory)/.identity.key.\(getpid())"
    _ = unsafe unlink(temporary)
    let descriptor = unsafe Glibc.open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw failure("create", temporary, errno) }
    defer {
      _ = close(descriptor)
      _ = unsafe unlink(temporary)
    }
    try write(file.encoded, to: descriptor, named: temporary)
    guard fchmod(descriptor, 0o600) == 0 else { throw failure("chmod", temporary, errno) }
    if geteuid() == 0 {
      var owner = stat()
      guard unsafe stat(directory, &owner) == 0, fchown(descriptor, owner.st_uid, owner.st_gid) == 0 else {
        throw failure("chown", temporary, errno)
      }
    }
    guard fsync(descriptor) == 0 else { throw failure("fsync", temporary, errno) }
    guard unsafe link(temporary, path) == 0 else { throw failure("link", path, errno) }
    let folder = unsafe Glibc.open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard folder >= 0 else { throw failure("open", directory, errno) }
    defer { _ = close(folder) }
    guard fsync(folder) == 0 else { throw failure("fsync", directory, errno) }
  }

  private func write(_ bytes: [UInt8], to descriptor: Int32, named name: String) throws(Failure) {
    var written = 0
    while written < bytes.count {
      let count = unsafe bytes.withUnsafeBytes { buffer in
        unsafe Glibc.write(descriptor, buffer.baseAddress?.advanced(by: written), buffer.count - written)
      }
      if count < 0 {
        if errno == EINTR { continue }
        throw failure("write", name, errno)
      }
      written += count
    }
  }

  /// Makes the directory, mode 0700, when it is not there. Its parent must exist.
  private func makeDirectory() throws(Failure) {
    if unsafe mkdir(directory, 0o700) != 0, errno != EEXIST { throw failure("mkdir", directory, errno) }
  }

  private func checkDirectory() throws(Failure) {
    var status = stat()
    guard unsafe stat(directory, &status) == 0 else { throw failure("stat", directory, errno) }
    let mode = status.st_mode & 0o7777
    guard mode & 0o077 == 0 else {
      throw .readableByOthers(path: directory, mode: mode, mend: "chmod 700 \(directory)")
    }
  }

  private func failure(_ operation: String, _ path: String, _ code: Int32) -> Failure {
    switch code {
    case ENOENT where path == self.path || path == directory: .missing(path: self.path)
    case EEXIST where path == self.path: .exists(path: path)
    case EACCES, EPERM: .notPermitted(path: path)
    case ELOOP: .notRegular(path: path)
    default: .system(operation: operation, path: path, reason: unsafe String(cString: strerror(code)))
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
    case .system(let operation, let path, let reason): "cannot \(operation) \(path): \(reason)"
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
