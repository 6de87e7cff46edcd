import BackboneAPI
import Foundation
import MeshCrypto
import MeshWire

@testable import Backbone

/// Names, keys and times that the tests share. Keys come from fixed seeds.
enum Fixture {
  static let now = WallTime(secondsSinceEpoch: 1_800_000_000)
  static let backboneKey = key(1)
  static let alice = key(2)
  static let bob = key(3)
  static let carol = key(4)

  static var origin: Origin { origin("http://127.0.0.1:8080") }
  static var region: Region { region("europe") }

  static func key(_ number: UInt8) -> IdentityKey {
    // why: a seed of 32 bytes always makes a key
    try! IdentityKey(seed: Array(repeating: number, count: 32))
  }

  static func origin(_ url: String) -> Origin {
    // why: the tests pass literals
    Origin(url: url)!
  }

  static func region(_ name: String) -> Region {
    // why: the tests pass literals
    Region(name)!
  }

  static func settings(
    origin: Origin = Fixture.origin, admission: Admission = .open,
    limits: BackboneSettings.Limits = BackboneSettings.Limits()
  ) -> BackboneSettings {
    let node = BackboneNode(
      region: region, endpoint: Endpoint(.v4(0xc000_0201), port: 8_443), keyHash: backboneKey.keyHash)
    return BackboneSettings(
      region: region, origins: [origin], admission: admission, nodes: [node], limits: limits)
  }

  /// A record of a private node, whose endpoint only `admitted` may see; or of a public one.
  static func record(
    of key: IdentityKey, sequence: UInt64 = 1, kind: RecordBody.Kind = .record, expiry: WallTime? = nil,
    port: UInt16 = 8_443, admitted: [KeyHash]? = nil
  ) throws -> PeerRecord {
    let endpoint = AnnouncedEndpoint(.configured, Endpoint(.v4(0xc633_6407), port: port))
    let body = RecordBody(
      kind: kind, serviceType: admitted == nil ? .lightPublic : .lightPrivate, keyHash: key.keyHash,
      sequence: SequenceNumber(sequence), expiry: expiry ?? now + .seconds(3_600), region: region,
      endpoints: admitted == nil ? [endpoint] : [])
    let privatePart = admitted.flatMap {
      RecordPrivatePart(endpoints: [endpoint], admitted: $0, salt: Array(repeating: 9, count: 16))
    }
    return try PeerRecord.sign(body, privatePart: privatePart, with: key)
  }

  /// A record of a public node that offers to relay.
  static func relay(_ key: IdentityKey, sequence: UInt64 = 1) throws -> PeerRecord {
    // why: an onion key is 1,600 bytes, of which nobody makes use here
    let onionKey = KeyExchangeOffer(Array(repeating: 7, count: KeyExchangeOffer.size))!
    let body = RecordBody(
      serviceType: .lightPublic, keyHash: key.keyHash, sequence: SequenceNumber(sequence),
      expiry: now + .seconds(3_600), region: region, relayOffer: 50,
      endpoints: [AnnouncedEndpoint(.configured, Endpoint(.v4(0xc633_6407), port: 8_443))],
      relay: RelayAnnouncement(onionKey: onionKey, week: RelayAnnouncement.week(of: now)))
    return try PeerRecord.sign(body, privatePart: nil, with: key)
  }

  /// A directory that is removed when the body ends.
  static func withDirectory<Value>(_ body: (String) async throws -> Value) async throws -> Value {
    let path = FileManager.default.temporaryDirectory.path + "/backbone-tests-" + UUID().uuidString
    try FileManager.default.createDirectory(
      atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try await body(path)
  }
  /// A store that holds the records of alice and carol, and whose file can't grow any more.
  static func withFullStore(_ body: (SQLiteStore, _ file: String) async throws -> Void) async throws {
    try await withDirectory { directory in
      let file = directory + "/registry.sqlite"
      let open = try SQLiteStore(file: file)
      for key in [alice, carol] { _ = try await open.put(StoredRecord(record(of: key)), replacing: nil) }
      var bounds = SQLiteStore.Bounds()
      bounds.pages = 1
      try await body(try SQLiteStore(file: file, bounds: bounds), file)
      // A store that opens a file alone writes to it first.
      withExtendedLifetime(open) {}
    }
  }
}
