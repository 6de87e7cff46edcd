import Foundation
import Glibc
import MeshWire
import NodeHost
import Testing

/// Starts that fail before a TUN device is needed, so that no rights are.
@Suite("The daemon's start")
struct DaemonStartTests {
  private func started(_ lines: String = "") async throws -> Place {
    let place = try Place(lines)
    _ = try await place.shadowmesh("init")
    return place
  }

  @Test("--check-config names file, line, key and what was expected, and ends with 78")
  func checkConfig() async throws {
    let bad = try await Place("mtu: 12").lightnode("--check-config")
    #expect(bad.code == 78)
    #expect(bad.complaint.contains("lightnode.yaml:3: mtu: expected"))
    let good = try await Place().lightnode("--check-config")
    #expect(good.code == 0)
    #expect(good.output.contains("the configuration holds"))
    #expect(good.complaint.isEmpty)
  }

  @Test("Every key of the sample file has a flag, and its text goes through the same rules")
  func flags() async throws {
    let help = try await Program.lightnode.run(["--help"]).output
    let sample = URL(filePath: #filePath).deletingLastPathComponent()
      .appending(path: "../../packaging/lightnode.yaml")
    var group = ""
    var keys: [String] = []
    for line in try String(contentsOf: sample, encoding: .utf8).split(separator: "\n") {
      let text = line.hasPrefix("# ") ? line.dropFirst(2) : line
      let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      let key = parts[0].drop { $0 == " " }
      // Not a sentence that has a colon.
      guard parts.count == 2, key.allSatisfy({ $0 == "_" || $0.isLowercase }),
        parts[1].split(separator: " ").count < 4
      else { continue }
      let isMember = key.count < parts[0].count
      if isMember || !parts[1].isEmpty { keys.append(isMember ? group + key : String(key)) }
      if !isMember { group = "\(key)." }
    }
    #expect(keys.contains("relay.stream_port") && keys.contains("log_level"))
    for key in keys where key != "mode" { #expect(help.contains(key), "\(key)") }
    let refused = try await Place().lightnode("--check-config", "--relay-stream-port", "443")
    #expect(refused.code == 78)
    #expect(refused.complaint.contains("relay.stream_port: expected 0 while relay_offer_mbps is 0"))
    let place = try Place("service_type: public\nrelay_offer_mbps: 5")
    let held = try await place.lightnode(
      "--check-config", "--relay-stream-port", "443", "--relay-hops", "2", "--relay-admit", "peers",
      "--relay-operator", "example.org", "--stun-server", "192.0.2.1:3478")
    #expect(held.code == 0, "\(held.complaint)")
  }

  @Test("--check-config notes a backbone without its key, and a file that is not there")
  func remarks() async throws {
    let place = try Place("backbone_url: https://backbone.example\nbackbone_ca_file: /nowhere.pem")
    let ending = try await place.lightnode("--check-config")
    #expect(ending.code == 0)
    #expect(ending.complaint.contains("note: backbone_key is missing"))
    #expect(ending.complaint.contains("note: backbone_ca_file: /nowhere.pem: No such file or directory"))
  }

  @Test("Without a key it says how to make one")
  func noKey() async throws {
    let ending = try await Place().lightnode()
    #expect(ending.code == 1)
    #expect(ending.complaint.contains("there is no key at"))
    #expect(ending.complaint.contains("next: make one with `shadowmesh init`"))
  }

  @Test("A UDP port in use is named, with the key to change")
  func portInUse() async throws {
    let socket = try UDPSocket(port: 0)
    defer { socket.close() }
    let place = try await started("listen_port: \(socket.local.port)")
    let ending = try await place.lightnode()
    #expect(ending.code == 1)
    #expect(ending.complaint.contains("UDP port \(socket.local.port) is in use by another program"))
    #expect(ending.complaint.contains("listen_port"))
  }

  @Test("A second daemon in one state directory is refused: they would write over each other")
  func lockedState() async throws {
    let place = try await started()
    let descriptor = unsafe open(place.key, O_RDONLY)
    try #require(flock(descriptor, LOCK_EX | LOCK_NB) == 0)
    let ending = try await place.lightnode()
    #expect(ending.code == 1)
    #expect(ending.complaint.contains("another shadowmesh-lightnode uses \(place.state)"))
    close(descriptor)
  }

  @Test("A half-written peer book stops the start, stays as it is, and the copy before it is pointed to")
  func halfWrittenPeers() async throws {
    let place = try await started()
    let half = #"{"peers":[{"na"#
    let path = try place.write(half, to: "state/peers.json")
    let alone = try await place.lightnode()
    #expect(alone.code == 1)
    #expect(alone.complaint.contains("peers.json is damaged"))
    #expect(alone.complaint.contains("next: move it away"))
    _ = try place.write("{}", to: "state/peers.json.previous")
    let second = try await place.lightnode()
    #expect(second.complaint.contains("cp -p \(path).previous \(path)"))
    #expect(FileManager.default.contents(atPath: path) == Data(half.utf8))
  }

  @Test("A key file cut off half-way stops the start and stays as it is")
  func halfWrittenKey() async throws {
    let place = try await started()
    let key = try #require(FileManager.default.contents(atPath: place.key)).prefix(50)
    try key.write(to: URL(filePath: place.key))
    let ending = try await place.lightnode()
    #expect(ending.code == 1)
    #expect(ending.complaint.contains("is damaged"))
    #expect(FileManager.default.contents(atPath: place.key) == key)
  }

  @Test("A sealed key without its passphrase names the key of the configuration")
  func sealed() async throws {
    let place = try Place()
    let passphrase = try place.write("correct horse\n", to: "passphrase")
    _ = try await place.shadowmesh("init", "--passphrase-file", passphrase)
    #expect(try await place.lightnode().complaint.contains("passphrase_file in the configuration"))
    try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: passphrase)
    let open = try await place.lightnode("--passphrase-file", passphrase)
    #expect(open.complaint.contains("others can read or change it: chmod 600 \(passphrase)"))
    let none = try await place.lightnode("--passphrase-file", place.path + "/none")
    #expect(none.complaint.contains("passphrase_file: \(place.path)/none cannot be used: No such file"))
  }
}
