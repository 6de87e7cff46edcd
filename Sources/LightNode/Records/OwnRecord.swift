import MeshCrypto
import MeshWire

/// What goes into this node's next record.
struct OwnRecord: Hashable, Sendable {
  /// A record is good for its longest life, and signed anew at half of that.
  static let life = PeerRecord.longestLife
  static let renewal: Duration = .seconds(3_600)

  var region: Region
  var serviceType: ServiceType
  var relayOffer: UInt32
  var mapping = NATBehaviour.unknown
  var filtering = NATBehaviour.unknown
  /// At most ``RecordBody/endpointLimit``.
  var endpoints: [AnnouncedEndpoint]
  /// Who may see a private node's endpoints: every peer whose KeyHash is known.
  var admitted: [KeyHash]
  /// How others use this node as a relay; of a public node with an offer only.
  var relay: RelayAnnouncement?
  /// Where a private node is reached through relays; at most ``RecordPrivatePart/reservationLimit``.
  var reservations: [RelayReservation] = []

  /// The next sequence number: above the last one that was signed, whatever the clock says, and above the one
  /// that a node signed that shares this key and lost its state, where the clock allows.
  static func nextSequence(after last: UInt64, now: WallTime) -> SequenceNumber {
    SequenceNumber(max(last == .max ? last : last + 1, now.secondsSinceEpoch))
  }

  /// Signs it: about a millisecond. `salt` is 16 fresh random bytes.
  func signed(
    with key: IdentityKey, sequence: SequenceNumber, now: WallTime, salt: [UInt8]
  ) throws(KeyFailure) -> PeerRecord {
    var body = RecordBody(
      serviceType: serviceType, mapping: mapping, filtering: filtering, keyHash: key.keyHash,
      sequence: sequence, expiry: now + Self.life,
      region: region, relayOffer: relayOffer)
    let shown = Array(endpoints.prefix(RecordBody.endpointLimit))
    guard serviceType == .lightPrivate else {
      body.endpoints = shown
      if serviceType == .lightPublic, relayOffer > 0 { body.relay = relay }
      return try PeerRecord.sign(body, privatePart: nil, with: key)
    }
    let part = RecordPrivatePart(
      endpoints: shown, admitted: Array(admitted.prefix(RecordPrivatePart.admissionLimit)), salt: salt,
      reservations: Array(reservations.prefix(RecordPrivatePart.reservationLimit)))
    return try PeerRecord.sign(body, privatePart: part, with: key)
  }
}
