import Glibc

/// A small file whose writes are whole and durable: after a crash or on a full disk there is either the old
/// content or the new, never a part. Only the owner may read it (0600), and it is never a symbolic link.
public struct StateFile: Sendable {
  /// Where the file is.
  public let path: String
  /// Bytes that are read or written at most.
  public let sizeLimit: Int
  /// A secret that others could read, or replace through its directory, is refused.
  public let isSecret: Bool

  /// Of a new file; a secret has none but its owner's.
  private let mode: mode_t

  private let directory: String
  private let name: String
  /// One fixed name, so that what a crash left behind is overwritten and never piles up.
  private var temporary: String { ".\(name).new" }

  /// Names a file; touches nothing.
  public init(path: String, sizeLimit: Int, isSecret: Bool = false, mode: UInt32 = 0o600) {
    self.mode = isSecret ? 0o600 : mode
    self.path = path
    self.sizeLimit = sizeLimit
    self.isSecret = isSecret
    if let slash = path.lastIndex(of: "/") {
      directory = slash == path.startIndex ? "/" : String(path[..<slash])
      name = String(path[path.index(after: slash)...])
    } else {
      directory = "."
      name = path
    }
  }

  /// The content, or `nil` when there is no such file.
  public func read() throws(StateFileError) -> [UInt8]? {
    guard let directory = try openDirectory(mayBeMissing: true) else { return nil }
    defer { directory.close() }
    let number = unsafe openat(directory.number, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
    if number < 0, errno == ENOENT { return nil }
    if number < 0, errno == ELOOP { throw failure(.symbolicLink) }
    guard number >= 0 else { throw failure(.system(.last, "open it")) }
    let file = Descriptor(number)
    defer { file.close() }
    try check(file)
    return try content(of: file)
  }

  /// Replaces the content: the new one is on the disk when this returns.
  public func write(_ bytes: [UInt8]) throws(StateFileError) {
    try store(bytes, replacing: true, owner: nil)
  }

  /// Writes a file that does not exist yet, and throws ``StateFileError/Reason/exists`` when it does.
  public func create(_ bytes: [UInt8]) throws(StateFileError) {
    try store(bytes, replacing: false, owner: nil)
  }

  /// As ``create(_:)``, and gives the file the owner of its directory before it has its name: for root, which
  /// makes files for a daemon's user.
  public func createForDirectoryOwner(_ bytes: [UInt8]) throws(StateFileError) {
    try store(bytes, replacing: false, owner: try directoryOwner())
  }

  /// As ``write(_:)``, and gives the file the owner of its directory before it has its name: for root.
  public func writeForDirectoryOwner(_ bytes: [UInt8]) throws(StateFileError) {
    try store(bytes, replacing: true, owner: try directoryOwner())
  }

  /// Removes the file; that it is not there is no error.
  public func remove() throws(StateFileError) {
    guard let directory = try openDirectory(mayBeMissing: true) else { return }
    defer { directory.close() }
    if unsafe unlinkat(directory.number, name, 0) != 0 {
      if errno == ENOENT { return }
      throw failure(.system(.last, "remove it"))
    }
    try synchronise(directory)
  }

  /// Makes the directory of the file, for its owner alone (0700). Its parent must exist.
  public func makeDirectory() throws(StateFileError) {
    if unsafe mkdir(directory, 0o700) != 0, errno != EEXIST {
      throw failure(.system(.last, "make its directory"))
    }
  }
}

extension StateFile {
  private func failure(_ reason: StateFileError.Reason) -> StateFileError {
    StateFileError(path: path, reason: reason)
  }

  private func openDirectory(mayBeMissing: Bool = false) throws(StateFileError) -> Descriptor? {
    let number = unsafe open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if number < 0, errno == ENOENT, mayBeMissing { return nil }
    guard number >= 0 else { throw failure(.system(.last, "open its directory")) }
    let descriptor = Descriptor(number)
    if isSecret {
      var status = stat()
      guard unsafe fstat(number, &status) == 0 else {
        throw failure(.system(.last, "inspect its directory"))
      }
      // Who may write there may put another key in the place of ours.
      let isOurs = isTrusted(status.st_uid) || geteuid() == 0
      if status.st_mode & 0o022 != 0 || !isOurs { throw failure(.directoryOpenToOthers) }
    }
    return descriptor
  }

  /// Ourselves, or root.
  private func isTrusted(_ user: uid_t) -> Bool { user == geteuid() || user == 0 }

  /// Root reads the files of the user to whom the directory belongs, and of nobody else there.
  private func isOwnerOfDirectory(_ user: uid_t) throws(StateFileError) -> Bool {
    guard geteuid() == 0, let directory = try openDirectory() else { return false }
    defer { directory.close() }
    var status = stat()
    return unsafe fstat(directory.number, &status) == 0 && status.st_uid == user
  }

  private func check(_ file: Descriptor) throws(StateFileError) {
    var status = stat()
    guard unsafe fstat(file.number, &status) == 0 else { throw failure(.system(.last, "inspect it")) }
    guard status.st_mode & S_IFMT == S_IFREG else { throw failure(.notAFile) }
    if isSecret {
      if !isTrusted(status.st_uid), try !isOwnerOfDirectory(status.st_uid) { throw failure(.foreignOwner) }
      guard status.st_mode & 0o077 == 0 else { throw failure(.openToOthers) }
    }
    guard status.st_size <= sizeLimit else { throw failure(.tooLarge(limit: sizeLimit)) }
  }

  private func content(of file: Descriptor) throws(StateFileError) -> [UInt8] {
    var status = stat()
    guard unsafe fstat(file.number, &status) == 0 else { throw failure(.system(.last, "inspect it")) }
    // One more than there is: a read that fills it means that the file grew.
    var bytes = [UInt8](repeating: 0, count: min(Int(status.st_size), sizeLimit) + 1)
    var count = 0
    while count < bytes.count {
      let room = bytes.count - count
      let result = unsafe bytes.withUnsafeMutableBytes { buffer in
        unsafe Glibc.read(file.number, buffer.baseAddress.map { unsafe $0 + count }, room)
      }
      if result < 0, errno == EINTR { continue }
      if result < 0 { throw failure(.system(.last, "read it")) }
      if result == 0 { return Array(bytes.prefix(count)) }
      count += result
    }
    // It grew while it was read.
    throw failure(.tooLarge(limit: sizeLimit))
  }

  private typealias Owner = (user: uid_t, group: gid_t)

  /// `nil` unless we are root: nobody else can give files away.
  private func directoryOwner() throws(StateFileError) -> Owner? {
    guard geteuid() == 0, let directory = try openDirectory() else { return nil }
    defer { directory.close() }
    var status = stat()
    guard unsafe fstat(directory.number, &status) == 0 else {
      throw failure(.system(.last, "inspect its directory"))
    }
    return (status.st_uid, status.st_gid)
  }

  private func store(_ bytes: [UInt8], replacing: Bool, owner: Owner?) throws(StateFileError) {
    guard bytes.count <= sizeLimit else { throw failure(.tooLarge(limit: sizeLimit)) }
    guard let directory = try openDirectory() else { return }
    defer { directory.close() }
    // One writer at a time, among programs too: they share the temporary name.
    while flock(directory.number, LOCK_EX) != 0 {
      guard errno == EINTR else { throw failure(.system(.last, "lock its directory")) }
    }
    var status = stat()
    if unsafe fstatat(directory.number, name, &status, AT_SYMLINK_NOFOLLOW) == 0 {
      guard status.st_mode & S_IFMT != S_IFLNK else { throw failure(.symbolicLink) }
      guard status.st_mode & S_IFMT == S_IFREG else { throw failure(.notAFile) }
      guard replacing else { throw failure(.exists) }
    } else if errno != ENOENT {
      throw failure(.system(.last, "inspect it"))
    }
    _ = unsafe unlinkat(directory.number, temporary, 0)
    do {
      try fill(temporary, in: directory, with: bytes, owner: owner)
      try publish(in: directory, replacing: replacing)
    } catch {
      _ = unsafe unlinkat(directory.number, temporary, 0)
      throw error
    }
    try synchronise(directory)
  }

  private func fill(
    _ temporary: String, in directory: Descriptor, with bytes: [UInt8], owner: Owner?
  ) throws(StateFileError) {
    let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
    let number = unsafe openat(directory.number, temporary, flags, 0o600)
    guard number >= 0 else { throw writing(.last) }
    let file = Descriptor(number)
    defer { file.close() }
    // Whatever the umask of the caller is.
    guard fchmod(number, mode) == 0 else { throw writing(.last) }
    // By descriptor: a name could have been made to lead elsewhere by who may write in the directory.
    if let owner, fchown(number, owner.user, owner.group) != 0 { throw writing(.last) }
    var written = 0
    while written < bytes.count {
      let result = unsafe bytes.withUnsafeBytes { buffer in
        unsafe Glibc.write(number, buffer.baseAddress.map { unsafe $0 + written }, buffer.count - written)
      }
      if result < 0, errno == EINTR { continue }
      if result < 0 { throw writing(.last) }
      written += result
    }
    guard fsync(number) == 0 else { throw writing(.last) }
  }

  private func publish(in directory: Descriptor, replacing: Bool) throws(StateFileError) {
    if replacing {
      guard unsafe renameat(directory.number, temporary, directory.number, name) == 0 else {
        throw writing(.last)
      }
      return
    }
    // A link, unlike a rename, fails when something took the name in the meantime.
    guard unsafe linkat(directory.number, temporary, directory.number, name, 0) == 0 else {
      if errno == EEXIST { throw failure(.exists) }
      throw writing(.last)
    }
    _ = unsafe unlinkat(directory.number, temporary, 0)
  }

  private func synchronise(_ directory: Descriptor) throws(StateFileError) {
    guard fsync(directory.number) == 0 else { throw failure(.system(.last, "sync its directory")) }
  }

  private func writing(_ error: SystemError) -> StateFileError {
    failure(error.code == ENOSPC || error.code == EDQUOT ? .diskFull : .system(error, "write it"))
  }
}
