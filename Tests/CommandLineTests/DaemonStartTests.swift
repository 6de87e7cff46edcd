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
