import Foundation
import Glibc
import Testing

@testable import LightNode

/// Always where the rights are known to be there: then a test that misses them fails, and is not left out.
private let mayGiveFilesAway = unsafe getenv("SHADOWMESH_TESTS_HAVE_RIGHTS") != nil || geteuid() == 0

@Suite("Files of which the first line counts")
struct FirstLineTests {
  private func secret(mode: Int) throws -> (folder: TemporaryFolder, path: String) {
    let folder = try TemporaryFolder()
    let path = try folder.write("hunter2\r\nthe rest", to: "passphrase")
    try folder.setMode(mode, of: path)
    return (folder, path)
  }

  @Test("A secret is read where only its owner and its group can", arguments: [0o600, 0o400, 0o640])
  func closed(mode: Int) throws {
    let (folder, path) = try secret(mode: mode)
    #expect(try FirstLine.read(path, for: "passphrase_file") == Array("hunter2".utf8))
    withExtendedLifetime(folder) {}
  }

  @Test("A secret that others can read or change is refused, and noted", arguments: [0o644, 0o620, 0o601])
  func open(mode: Int) throws {
    let (folder, path) = try secret(mode: mode)
    let failure = #expect(throws: FirstLine.Failure.self) { try FirstLine.read(path, for: "passphrase_file") }
    #expect(failure?.reason == "others can read or change it: chmod 600 \(path)")
    var configuration = LightNodeConfiguration()
    configuration.passphraseFile = path
    #expect(configuration.remarks.contains { $0.hasPrefix("passphrase_file: ") })
    configuration.passphraseFile = nil
    configuration.backboneCAFile = path
    #expect(configuration.remarks.isEmpty)
    withExtendedLifetime(folder) {}
  }

  @Test("A secret of another user is refused", .enabled(if: mayGiveFilesAway, "only root gives files away"))
  func foreign() throws {
    let (folder, path) = try secret(mode: 0o600)
    #expect(unsafe chown(path, 4_242, 4_242) == 0)
    let failure = #expect(throws: FirstLine.Failure.self) { try FirstLine.read(path, for: "passphrase_file") }
    #expect(failure?.reason.contains("belongs to another user") == true)
    withExtendedLifetime(folder) {}
  }

  @Test("A pipe, a device or a directory is no secret's file: none holds up the start")
  func irregular() throws {
    let folder = try TemporaryFolder()
    let pipe = folder.path + "/pipe"
    try #require(unsafe mkfifo(pipe, 0o600) == 0)
    for path in [pipe, "/dev/zero", folder.path] {
      #expect(throws: FirstLine.Failure.self) { try FirstLine.read(path, for: "passphrase_file") }
    }
  }
}
