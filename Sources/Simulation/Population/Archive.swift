import MeshCrypto
import MeshWire

/// Records of a population, each made once and shared by all who hold it: 7.3 KB that would stand in memory a
/// hundred times otherwise.
struct Archive {
  private struct Entry {
    let record: PeerRecord
    let bundle: [UInt8]
  }

  private let expiry: WallTime
  private var entries: [KeyHash: Entry] = [:]

  /// - Parameter expiry: of the records that members had before the run began.
  init(expiry: WallTime) { self.expiry = expiry }

  /// The newest record of a member, signed when it is first asked for.
  mutating func record(of member: MemberID, in census: Census) -> PeerRecord {
    entry(of: member, in: census).record
  }

  /// The same as it travels.
  mutating func bundle(of member: MemberID, in census: Census) -> [UInt8] {
    entry(of: member, in: census).bundle
  }

  private mutating func entry(of member: MemberID, in census: Census) -> Entry {
    if let known = entries[census.keyHash(of: member)] { return known }
    let body = RecordBody(
      serviceType: .lightPublic, keyHash: census.keyHash(of: member), sequence: SequenceNumber(1),
      expiry: expiry, region: SimulatedBackbone.region,
      endpoints: [AnnouncedEndpoint(.interface, census.endpoint(of: member))])
    let record = SimulatedIdentity.standIn(census.publicKey(of: member)).sign(body, privatePart: nil)
    return keep(record)
  }

  /// Takes note of a record that its owner has just signed.
  @discardableResult
  mutating func note(_ record: PeerRecord) -> PeerRecord { keep(record).record }

  private mutating func keep(_ record: PeerRecord) -> Entry {
    let entry = Entry(record: record, bundle: record.bundle)
    entries[record.keyHash] = entry
    return entry
  }

  /// The shared instance of a record, if it is the newest of its owner.
  func shared(_ record: PeerRecord) -> PeerRecord {
    guard let known = entries[record.keyHash]?.record, known == record else { return record }
    return known
  }

  /// Whether an owner's newest record is this one.
  func isNewest(_ record: PeerRecord) -> Bool { entries[record.keyHash]?.record.body == record.body }
}
