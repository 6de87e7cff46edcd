import Glibc
import Testing

@testable import Daemon

/// A directory of one test, for its owner alone, removed with what is in it.
final class ScratchDirectory {
  let path: String

  init() throws {
    var template = Array("/tmp/nodehost-XXXXXX".utf8CString)
    path = try #require(mkdtemp(&template).map { String(cString: $0) })
  }

  func file(_ name: String) -> String { "\(path)/\(name)" }

  var names: [String] {
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  deinit {
    for name in names { unlink(file(name)) }
    rmdir(path)
  }
}

@Suite("State file")
struct StateFileTests {
  let scratch: ScratchDirectory
  let path: String

  init() throws {
    scratch = try ScratchDirectory()
    path = scratch.file("state")
  }

  private func plant(_ name: String, _ bytes: [UInt8], mode: mode_t = 0o600) throws {
    let number = open(scratch.file(name), O_WRONLY | O_CREAT | O_TRUNC, mode)
    try #require(number >= 0)
    #expect(write(number, bytes, bytes.count) == bytes.count)
    fchmod(number, mode)
    close(number)
  }

  private func reason(_ body: () throws -> Void) throws -> StateFileError.Reason {
    try #require(#expect(throws: StateFileError.self, performing: body)).reason
  }

  @Test("what was written is read back, mode 0600, and nothing else lies beside it")
  func roundTrip() throws {
    let file = StateFile(path: path, sizeLimit: 1_000)
    #expect(try file.read() == nil)
    try file.write([1, 2, 3])
    try file.write(Array(repeating: 7, count: 1_000))
    #expect(try file.read() == Array(repeating: 7, count: 1_000))
    #expect(scratch.names == ["state"])
    var status = stat()
    #expect(stat(path, &status) == 0)
    #expect(status.st_mode & 0o777 == 0o600)
    try file.remove()
    try file.remove()
    #expect(try file.read() == nil)
  }

  @Test("a crash between write and rename leaves the old content, and the next write clears up")
  func leftover() throws {
    let file = StateFile(path: path, sizeLimit: 100)
    try file.write([1])
    try plant(".state.new", [9, 9])
    #expect(try file.read() == [1])
    try file.write([2])
    #expect(try file.read() == [2])
    #expect(scratch.names == ["state"])
  }

  @Test("a leftover that is a link to elsewhere is not written through")
  func plantedTemporary() throws {
    try plant("victim", [5])
    #expect(symlink(scratch.file("victim"), scratch.file(".state.new")) == 0)
    try StateFile(path: path, sizeLimit: 100).write([2])
    #expect(try StateFile(path: scratch.file("victim"), sizeLimit: 100).read() == [5])
  }

  @Test("create never replaces what is there: a key is never overwritten")
  func createRefusesExisting() throws {
    let file = StateFile(path: path, sizeLimit: 100, isSecret: true)
    try file.create([1])
    #expect(try reason { try file.create([2]) } == .exists)
    #expect(try file.read() == [1])
    #expect(scratch.names == ["state"])
  }

  @Test("a symbolic link is refused for reading and writing, and its target is untouched")
  func symbolicLinks() throws {
    try plant("target", [5])
    #expect(symlink(scratch.file("target"), path) == 0)
    let file = StateFile(path: path, sizeLimit: 100)
    #expect(try reason { _ = try file.read() } == .symbolicLink)
    #expect(try reason { try file.write([1]) } == .symbolicLink)
    #expect(try StateFile(path: scratch.file("target"), sizeLimit: 100).read() == [5])
  }

  @Test("a directory in the place of the file is refused, also as something to replace")
  func notAFile() throws {
    #expect(mkdir(path, 0o700) == 0)
    defer { rmdir(path) }
    let file = StateFile(path: path, sizeLimit: 100)
    #expect(try reason { _ = try file.read() } == .notAFile)
    #expect(try reason { try file.write([1]) } == .notAFile)
  }

  @Test(
    "a secret that others can read or write is refused, an ordinary file is not",
    arguments: [0o640, 0o604, 0o620, 0o666] as [mode_t])
  func secretsOpenToOthers(mode: mode_t) throws {
    try plant("state", [5], mode: mode)
    let error = #expect(throws: StateFileError.self) {
      try StateFile(path: path, sizeLimit: 100, isSecret: true).read()
    }
    #expect(error?.reason == .openToOthers)
    #expect(error?.description.contains("chmod 600 \(path)") == true)
    #expect(try StateFile(path: path, sizeLimit: 100).read() == [5])
  }

  @Test("a secret in a directory that others can write is refused")
  func directoryOpenToOthers() throws {
    let file = StateFile(path: path, sizeLimit: 100, isSecret: true)
    try file.write([1])
    #expect(chmod(scratch.path, 0o770) == 0)
    #expect(try reason { _ = try file.read() } == .directoryOpenToOthers)
    #expect(try reason { try file.write([2]) } == .directoryOpenToOthers)
  }

  @Test("a secret of another user is refused", .enabled(if: isRoot, needsRoot))
  func foreignOwner() throws {
    // Root's euid and uid 0 are both trusted: only a third party's file shows the check.
    try plant("state", [5])
    #expect(chown(path, 4_242, 4_242) == 0)
    let file = StateFile(path: path, sizeLimit: 100, isSecret: true)
    #expect(try reason { _ = try file.read() } == .foreignOwner)
  }

  @Test(
    "root makes and replaces a file for the owner of its directory, and reads that owner's secrets there",
    .enabled(if: isRoot, needsRoot))
  func directoryOwner() throws {
    #expect(chown(scratch.path, 4_242, 4_243) == 0)
    let file = StateFile(path: path, sizeLimit: 100, isSecret: true)
    try file.createForDirectoryOwner([1])
    var status = stat()
    #expect(lstat(path, &status) == 0)
    #expect(status.st_uid == 4_242 && status.st_gid == 4_243 && status.st_mode & 0o7777 == 0o600)
    #expect(try file.read() == [1])
    try file.writeForDirectoryOwner([2])
    #expect(lstat(path, &status) == 0)
    #expect(status.st_uid == 4_242 && status.st_gid == 4_243 && status.st_mode & 0o7777 == 0o600)
    #expect(try file.read() == [2])
    #expect(chown(path, 5_555, 5_555) == 0)
    #expect(try reason { _ = try file.read() } == .foreignOwner)
  }

  @Test("reading and writing stop at the size limit")
  func sizeLimit() throws {
    try plant("state", Array(repeating: 0, count: 101))
    let file = StateFile(path: path, sizeLimit: 100)
    #expect(try reason { _ = try file.read() } == .tooLarge(limit: 100))
    #expect(try reason { try file.write(Array(repeating: 0, count: 101)) } == .tooLarge(limit: 100))
  }

  @Test("a directory is made for its owner alone")
  func makesDirectory() throws {
    let file = StateFile(path: scratch.file("keys/identity"), sizeLimit: 100, isSecret: true)
    #expect(try file.read() == nil)
    try file.makeDirectory()
    try file.makeDirectory()
    var status = stat()
    #expect(stat(scratch.file("keys"), &status) == 0)
    #expect(status.st_mode & 0o777 == 0o700)
    try file.create([1])
    try file.remove()
    rmdir(scratch.file("keys"))
  }

  @Test(
    "on a full disk the old content stays, the error says so, and no temporary file is left",
    .enabled(if: mayMountTmpfs, needsMounts))
  func fullDisk() throws {
    let mount = scratch.file("small")
    #expect(mkdir(mount, 0o700) == 0)
    let mounted = inPrivateMounts {
      Result {
        try #require(Glibc.mount("tmpfs", mount, "tmpfs", 0, "size=8k,mode=0700") == 0)
        defer { umount(mount) }
        let file = StateFile(path: "\(mount)/state", sizeLimit: 1 << 20)
        try file.write([1, 2, 3])
        let error = #expect(throws: StateFileError.self) {
          try file.write(Array(repeating: 1, count: 1 << 16))
        }
        #expect(error?.reason == .diskFull)
        #expect(error?.description.contains("what was there is unchanged") == true)
        #expect(try file.read() == [1, 2, 3])
        #expect(access("\(mount)/.state.new", F_OK) != 0)
        try file.write([4])
        #expect(try file.read() == [4])
      }
    }
    rmdir(mount)
    try #require(mounted).get()
  }
}
