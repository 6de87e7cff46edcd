import Foundation
import Testing

@Suite("Commands without a daemon")
struct KeyCommandTests {
  private func bytes(_ path: String) -> Data? { FileManager.default.contents(atPath: path) }

  @Test("A second init leaves the key as it is, and ends with 7")
  func initTwice() async throws {
    let place = try Place()
    let first = try await place.shadowmesh("init", "--json")
    #expect(first.code == 0)
    #expect((first.json["peer_id"] as? String)?.count == 40)
    let key = try #require(bytes(place.key))
    let second = try await place.shadowmesh("init", "--json")
    #expect(second.code == 7)
    let error = try #require(second.json["error"] as? [String: Any])
    #expect(error["exit_code"] as? Int == 7)
    #expect((error["next"] as? String)?.contains("mv ") == true)
    #expect(bytes(place.key) == key)
  }

  @Test("A key that was exported makes the same node elsewhere; neither command overwrites a file")
  func exportAndImport() async throws {
    let (here, there) = (try Place(), try Place())
    _ = try await here.shadowmesh("init")
    let copy = here.path + "/copy"
    let export = try await here.shadowmesh("key", "export", "--out", copy, "--json")
    #expect(export.json["sealed"] as? Bool == false)
    #expect(try await here.shadowmesh("key", "export", "--out", copy).code == 7)
    let mode = try FileManager.default.attributesOfItem(atPath: copy)[.posixPermissions] as? NSNumber
    #expect(mode?.intValue == 0o600)
    #expect(try await there.shadowmesh("key", "import", copy).code == 0)
    #expect(try await here.shadowmesh("id").output == there.shadowmesh("id").output)
    #expect(try await there.shadowmesh("key", "import", copy).code == 7)
  }

  @Test("A sealed copy opens with its passphrase only")
  func sealedCopy() async throws {
    let (here, there) = (try Place(), try Place())
    _ = try await here.shadowmesh("init")
    let right = try here.write("correct horse\n", to: "right")
    let wrong = try here.write("battery staple\n", to: "wrong")
    let copy = here.path + "/copy"
    let arguments = ["key", "export", "--out", copy, "--seal", "--passphrase-file", right]
    let export = try await Program.shadowmesh.run(arguments + ["--config", here.configuration])
    #expect(export.code == 0)
    #expect(try await there.shadowmesh("key", "import", copy).code == 4)
    #expect(try await there.shadowmesh("key", "import", copy, "--passphrase-file", wrong).code == 4)
    #expect(try await there.shadowmesh("key", "import", copy, "--passphrase-file", right).code == 0)
    #expect(try await here.shadowmesh("id").output == there.shadowmesh("id").output)
  }

  @Test("A copy with a letter changed is refused, and makes no key")
  func damagedCopy() async throws {
    let (here, there) = (try Place(), try Place())
    _ = try await here.shadowmesh("init")
    var lines = try await here.shadowmesh("key", "export").output.split(separator: "\n").map(String.init)
    lines[1] = String(lines[1].reversed())
    let copy = try here.write(lines.joined(separator: "\n"), to: "copy")
    let refusal = try await there.shadowmesh("key", "import", copy)
    #expect(refusal.code == 8)
    #expect(refusal.complaint.contains("next: "))
    #expect(bytes(there.key) == nil)
  }

  @Test("A key that others can read is refused with the command that mends it")
  func openKey() async throws {
    let place = try Place()
    _ = try await place.shadowmesh("init")
    try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: place.key)
    for ending in try await [place.shadowmesh("id"), place.shadowmesh("key", "export")] {
      #expect(ending.code == 8)
      #expect(ending.complaint.contains("chmod 600 \(place.key)"))
      #expect(ending.output.isEmpty)
    }
  }

  @Test("A command that needs the daemon says that it is not running, how to start it, and ends with 3")
  func noDaemon() async throws {
    let place = try Place()
    for command in [["status"], ["peers"], ["invite"], ["ping", "bob"], ["lookup", "bob"]] {
      let ending = try await Program.shadowmesh.run(command + ["--config", place.configuration])
      #expect(ending.code == 3)
      #expect(ending.complaint.contains("systemctl start shadowmesh-lightnode"))
      let json = try await Program.shadowmesh.run(command + ["--json", "--config", place.configuration])
      #expect((json.json["error"] as? [String: Any])?["exit_code"] as? Int == 3)
    }
  }

  @Test("A configuration that was named and does not hold is told, not passed over")
  func namedConfiguration() async throws {
    let place = try Place("listen_prot: 1")
    let ending = try await place.shadowmesh("status")
    #expect(ending.code == 1)
    #expect(ending.complaint.contains("lightnode.yaml:3: listen_prot: unknown key"))
    let missing = try await Program.shadowmesh.run(["status", "--config", place.path + "/none.yaml"])
    #expect(missing.complaint.contains("cannot be read: No such file or directory"))
  }

  @Test(
    "Every command has --help, and --json beside it",
    arguments: [
      ["init"], ["id"], ["status"], ["peers"], ["invite"], ["join"], ["peer", "add"], ["peer", "hops"],
      ["peer", "remove"],
      ["lookup"], ["ping"], ["key", "export"], ["key", "import"], ["version"],
    ])
  func help(command: [String]) async throws {
    let ending = try await Program.shadowmesh.run(command + ["--help"])
    #expect(ending.code == 0)
    #expect(ending.output.contains("--json"))
  }

  @Test(
    "Wrong usage ends with 64",
    arguments: [
      ["nonsense"], ["ping"], ["ping", "bob", "-c", "0"], ["invite", "--expires", "1s"],
      ["peer", "add", "Bob", "00"], ["peer", "add", "bob", "00", "--allow", "tcp/0"],
      ["peer", "add", "bob", "00", "--hops", "0"], ["peer", "add", "bob", "00", "--hops", "4"],
      ["peer", "hops", "bob", "4"], ["peer", "hops", "bob"],
    ])
  func usage(arguments: [String]) async throws {
    #expect(try await Program.shadowmesh.run(arguments).code == 64)
  }

  @Test("Completions are made for three shells", arguments: ["bash", "zsh", "fish"])
  func completions(shell: String) async throws {
    for program in [Program.shadowmesh, .lightnode] {
      let ending = try await program.run(["--generate-completion-script", shell])
      #expect(ending.code == 0)
      #expect(ending.output.contains(program.name))
    }
  }

  @Test func theVersionIsJSONToo() async throws {
    let ending = try await Program.shadowmesh.run(["version", "--json"])
    #expect(ending.json["control"] as? Int == 1)
  }
}
