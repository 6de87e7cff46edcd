import BackboneAPI
import MeshCrypto
import MeshWire
import Testing

@testable import Backbone

@Suite("Publication rule") struct PublicationRuleTests {
  private func decide(
    _ record: PeerRecord, over known: PeerRecord?, by publisher: IdentityKey = Fixture.alice
  )
    -> PublicationRule.Decision
  {
    PublicationRule.decide(
      StoredRecord(record).summary, publisher: publisher.keyHash,
      known: known.map { StoredRecord($0).summary })
  }

  @Test func `a first record and a higher sequence are stored`() throws {
    let first = try Fixture.record(of: Fixture.alice)
    #expect(decide(first, over: nil) == .store)
    #expect(decide(try Fixture.record(of: Fixture.alice, sequence: 2), over: first) == .store)
  }

  @Test func `a lower sequence is refused`() throws {
    let known = try Fixture.record(of: Fixture.alice, sequence: 5)
    #expect(
      decide(try Fixture.record(of: Fixture.alice, sequence: 4), over: known) == .refuse(.sequenceTooLow))
  }

  @Test func `an equal sequence with other content is refused, with the same content is no change`() throws {
    let known = try Fixture.record(of: Fixture.alice, sequence: 5)
    let other = try Fixture.record(of: Fixture.alice, sequence: 5, port: 9_000)
    #expect(decide(other, over: known) == .refuse(.sequenceReused))
    #expect(decide(try Fixture.record(of: Fixture.alice, sequence: 5), over: known) == .unchanged)
  }

  @Test func `a private part that was missing is added to the record that stands`() throws {
    let whole = try Fixture.record(of: Fixture.alice, admitted: [Fixture.bob.keyHash])
    #expect(decide(whole, over: whole.withoutPrivatePart) == .store)
    #expect(decide(whole.withoutPrivatePart, over: whole) == .unchanged)
  }

  @Test func `someone else's record is refused`() throws {
    let record = try Fixture.record(of: Fixture.alice)
    #expect(decide(record, over: nil, by: Fixture.bob) == .refuse(.notOwner))
  }

  @Test func `another key under the same PeerID is refused`() throws {
    let record = try Fixture.record(of: Fixture.alice)
    let stranger = RecordSummary(
      keyHash: Fixture.bob.keyHash, sequence: SequenceNumber(0), bodyDigest: [], hasPrivatePart: false)
    #expect(
      PublicationRule.decide(
        StoredRecord(record).summary, publisher: Fixture.alice.keyHash, known: stranger)
        == .refuse(.peerIDTaken))
  }

  @Test func `the private part goes to the owner and to those admitted, and to nobody else`() throws {
    let record = try Fixture.record(of: Fixture.alice, admitted: [Fixture.bob.keyHash])
    let stored = StoredRecord(record)
    #expect(stored.bundle(for: Fixture.alice.keyHash) == record.bundle)
    #expect(stored.bundle(for: Fixture.bob.keyHash) == record.bundle)
    #expect(stored.bundle(for: Fixture.carol.keyHash) == record.withoutPrivatePart.bundle)
  }
}
