import MeshCrypto
import MeshNode
import MeshWire
import NodeHost
import Testing

@testable import LightNode

@Suite("Own record")
struct OwnRecordTests {
  private let now = WallTime(secondsSinceEpoch: 1_000_000)
  private let endpoint = AnnouncedEndpoint(.configured, Endpoint("192.0.2.1:8443")!)

  private func what(_ type: ServiceType, admitted: [KeyHash] = []) -> OwnRecord {
    OwnRecord(
      region: Region("europe")!, serviceType: type, relayOffer: 0, endpoints: [endpoint], admitted: admitted)
  }

  @Test("The sequence number never goes back, with a clock an hour behind or ahead")
  func sequence() {
    let hour: UInt64 = 3_600
    #expect(OwnRecord.nextSequence(after: 0, now: now).value == 1_000_000)
    #expect(
      OwnRecord.nextSequence(after: 1_000_000, now: WallTime(secondsSinceEpoch: 1_000_000 - hour)).value
        == 1_000_001)
    #expect(
      OwnRecord.nextSequence(after: 1_000_000, now: WallTime(secondsSinceEpoch: 1_000_000 + hour)).value
        == 1_000_000 + hour)
    #expect(OwnRecord.nextSequence(after: 1_000_000 + hour, now: now).value == 1_000_001 + hour)
    #expect(OwnRecord.nextSequence(after: .max, now: now).value == .max)
  }

  @Test("A private node's endpoints are in the part for those whom it admitted only")
  func privateEndpoints() throws {
    let key = try IdentityKey()
    let friend = try IdentityKey().keyHash
    let record = try what(.lightPrivate, admitted: [friend]).signed(
      with: key, sequence: SequenceNumber(1), now: now, salt: Array(repeating: 1, count: 16))
    #expect(record.endpoints == [endpoint.endpoint])
    #expect(record.withoutPrivatePart.endpoints.isEmpty)
    #expect(record.admits(friend))
    #expect(try !record.admits(IdentityKey().keyHash))
    #expect(try UnverifiedPeerRecord(bundle: record.bundle).verified(at: now) == record)
  }

  @Test func aPublicNodesEndpointsAreForEveryone() throws {
    let record = try what(.lightPublic).signed(
      with: IdentityKey(), sequence: SequenceNumber(1), now: now, salt: Array(repeating: 1, count: 16))
    #expect(record.withoutPrivatePart.endpoints == [endpoint.endpoint])
    #expect(record.body.serviceType == .lightPublic)
  }

  @Test func interfacesGiveDialableEndpointsOnly() {
    let addresses = [
      "127.0.0.1", "::1", "10.0.0.1", "fe80::1", "fd73:6d00::1", "2001:db8::1", "10.0.0.1", "224.0.0.1",
    ]
    .compactMap { IPAddress($0) }
    let chosen = InterfaceEndpoints.select(addresses, port: 9_000, permitsLoopback: false)
    #expect(chosen.map(\.endpoint.description) == ["[2001:db8::1]:9000", "10.0.0.1:9000"])
    let local = InterfaceEndpoints.select(addresses, port: 9_000, permitsLoopback: true)
    #expect(local.map(\.endpoint.description).suffix(2) == ["127.0.0.1:9000", "[::1]:9000"])
  }

  @Test func theSequenceIsOnTheDiskAsANumber() throws {
    let folder = try TemporaryFolder()
    let state = StateFolder(directory: folder.path)
    #expect(try state.readSequence() == 0)
    try state.writeSequence(7)
    #expect(try state.readSequence() == 7)
    _ = try folder.write("12", to: "record.sequence")
    #expect(throws: StateFolder.Damaged.self) { try state.readSequence() }
  }

  @Test func theCacheComesBackTheSameAndCutsAreRefused() throws {
    let snapshot = NodeSnapshot(records: [[1, 2, 3], []], table: [4, 5])
    let bytes = snapshot.encoded
    #expect(try NodeSnapshot(encoded: bytes) == snapshot)
    for count in 0..<bytes.count {
      #expect(throws: DecodingFailure.self) { try NodeSnapshot(encoded: Array(bytes[..<count])) }
    }
  }
}
