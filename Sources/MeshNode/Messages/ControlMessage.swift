public import Kademlia
public import MeshCrypto
public import MeshRelay
public import MeshWire

/// What two nodes say to each other inside a session (`docs/protocol/SMH1.md` §10). Rekeying and path probes
/// are the session's own and don't come here.
public enum ControlMessage: Sendable, Hashable {
  case ping(RequestID)
  case pong(RequestID, peerAdded: Bool)
  case findNode(RequestID, target: PeerID)
  case nodes(RequestID, [ContactHint])
  case getRecord(RequestID, target: PeerID)
  case record(RequestID, UnparsedRecord?)
  case redeemInvite(RequestID, secret: [UInt8])
  case inviteAnswer(RequestID, accepted: Bool)
  case announce(UnparsedRecord)
  /// Asks where the sender's packets seem to come from.
  case observe(RequestID)
  case observed(RequestID, Endpoint)
  /// Between peers: where the sender may be; it tries the other's candidates at the same time.
  case candidates([AnnouncedEndpoint], wantsAnswer: Bool)
  /// To a backbone: tell this node where the sender may be.
  case introduce(KeyHash, [AnnouncedEndpoint], wantsAnswer: Bool)
  /// From a backbone: where this node says that it may be.
  case introduction(KeyHash, [AnnouncedEndpoint], wantsAnswer: Bool)
  /// From a backbone: this node has no session with it.
  case introductionFailed(KeyHash)

  /// To a relay: a place where the sender can be reached, or its renewal.
  case reserve(RequestID)
  /// `nil`: refused.
  case reserved(RequestID, ReservationGrant?)
  /// To a relay: build a circuit of this name, as the layer says.
  case createCircuit(UInt32, layer: [UInt8])
  case circuitClosed(UInt32, CircuitEnd)

  /// Pairs an answer with its request; unique within a session and a short time. 4 bytes.
  public struct RequestID: Sendable, Hashable {
    public let number: UInt32
    public init(number: UInt32) { self.number = number }
  }

  /// A record bundle that nobody has looked into yet.
  public struct UnparsedRecord: Sendable, Hashable {
    public let bundle: [UInt8]
    public init(bundle: [UInt8]) { self.bundle = bundle }
  }

  /// Most hints in an answer: k of the Kademlia paper.
  public static let hintLimit = 20
  /// Size of an invitation's secret, in bytes.
  public static let secretSize = 32

  /// Whether something comes back at once if the path carries, so that silence says that it doesn't.
  var callsForAnswer: Bool {
    switch self {
    case .ping, .findNode, .getRecord, .redeemInvite, .observe, .introduce, .reserve, .createCircuit: true
    case .candidates(_, let wantsAnswer), .introduction(_, _, let wantsAnswer): wantsAnswer
    case .pong, .nodes, .record, .inviteAnswer, .announce, .observed, .introductionFailed, .reserved,
      .circuitClosed:
      false
    }
  }

  /// Reads one message, which must end where it ends.
  public init(decoding bytes: [UInt8]) throws(DecodingFailure) {
    var reader = ByteReader(bytes)
    let type = try reader.uint8()
    switch type {
    case 0x09:
      self = .announce(try reader.record())
      return
    case 0x0c...0x0f:
      self = try Self.introductionMessage(type, &reader)
      try reader.end()
      return
    case 0x12, 0x13:
      self = try Self.circuitMessage(type, &reader)
      try reader.end()
      return
    default: break
    }
    let id = RequestID(number: try reader.uint32())
    switch type {
    case 0x01: self = .ping(id)
    case 0x02:
      let flags = try reader.uint8()
      guard flags <= 1 else { throw .badValue }
      self = .pong(id, peerAdded: flags == 1)
    case 0x03: self = .findNode(id, target: try reader.peerID())
    case 0x04:
      let count = Int(try reader.uint8())
      guard count <= Self.hintLimit else { throw .tooLarge }
      var hints: [ContactHint] = []
      for _ in 0..<count {
        hints.append(try reader.contactHint())
      }
      self = .nodes(id, hints)
    case 0x05: self = .getRecord(id, target: try reader.peerID())
    case 0x06: self = .record(id, try reader.flag() ? try reader.record() : nil)
    case 0x07: self = .redeemInvite(id, secret: try reader.bytes(Self.secretSize))
    case 0x08: self = .inviteAnswer(id, accepted: try reader.flag())
    case 0x0a: self = .observe(id)
    case 0x0b: self = .observed(id, try reader.endpoint())
    case 0x10: self = .reserve(id)
    case 0x11: self = .reserved(id, try reader.flag() ? try reader.grant() : nil)
    default: throw .badValue
    }
    try reader.end()
  }

  private static func introductionMessage(
    _ type: UInt8, _ reader: inout ByteReader
  ) throws(DecodingFailure) -> ControlMessage {
    switch type {
    case 0x0c:
      let wantsAnswer = try reader.flag()
      return .candidates(try reader.announcedEndpoints(), wantsAnswer: wantsAnswer)
    case 0x0d, 0x0e:
      let other = try reader.keyHash()
      let wantsAnswer = try reader.flag()
      let endpoints = try reader.announcedEndpoints()
      return type == 0x0d
        ? .introduce(other, endpoints, wantsAnswer: wantsAnswer)
        : .introduction(other, endpoints, wantsAnswer: wantsAnswer)
    default: return .introductionFailed(try reader.keyHash())
    }
  }

  /// The message as it travels.
  public var encoded: [UInt8] {
    var writer = ByteWriter()
    func begin(_ type: UInt8, _ id: RequestID) {
      writer.write(type)
      writer.write(id.number)
    }
    switch self {
    case .ping(let id): begin(0x01, id)
    case .pong(let id, let peerAdded):
      begin(0x02, id)
      writer.write(UInt8(peerAdded ? 1 : 0))
    case .findNode(let id, let target):
      begin(0x03, id)
      writer.write(target)
    case .nodes(let id, let hints):
      begin(0x04, id)
      writer.write(UInt8(hints.count))
      for hint in hints { writer.write(hint) }
    case .getRecord(let id, let target):
      begin(0x05, id)
      writer.write(target)
    case .record(let id, let record):
      begin(0x06, id)
      writer.write(UInt8(record == nil ? 0 : 1))
      if let record { writer.write(record.bundle) }
    case .redeemInvite(let id, let secret):
      begin(0x07, id)
      writer.write(secret)
    case .inviteAnswer(let id, let accepted):
      begin(0x08, id)
      writer.write(UInt8(accepted ? 1 : 0))
    case .announce(let record):
      writer.write(UInt8(0x09))
      writer.write(record.bundle)
    case .observe(let id): begin(0x0a, id)
    case .observed(let id, let endpoint):
      begin(0x0b, id)
      writer.write(endpoint)
    case .candidates(let endpoints, let wantsAnswer):
      writer.write(UInt8(0x0c))
      writer.write(UInt8(wantsAnswer ? 1 : 0))
      writer.write(endpoints)
    case .introduce(let other, let endpoints, let wantsAnswer):
      writer.write(UInt8(0x0d))
      writer.write(other)
      writer.write(UInt8(wantsAnswer ? 1 : 0))
      writer.write(endpoints)
    case .introduction(let other, let endpoints, let wantsAnswer):
      writer.write(UInt8(0x0e))
      writer.write(other)
      writer.write(UInt8(wantsAnswer ? 1 : 0))
      writer.write(endpoints)
    case .introductionFailed(let other):
      writer.write(UInt8(0x0f))
      writer.write(other)
    case .reserve(let id): begin(0x10, id)
    case .reserved(let id, let grant):
      begin(0x11, id)
      writer.write(UInt8(grant == nil ? 0 : 1))
      if let grant { writer.write(grant) }
    case .createCircuit(let circuit, let layer):
      writer.write(UInt8(0x12))
      writer.write(circuit)
      writer.write(layer)
    case .circuitClosed(let circuit, let end):
      writer.write(UInt8(0x13))
      writer.write(circuit)
      writer.write(end.rawValue)
    }
    return writer.bytes
  }
}

extension ByteReader {
  fileprivate mutating func flag() throws(DecodingFailure) -> Bool {
    switch try uint8() {
    case 0: return false
    case 1: return true
    default: throw .badValue
    }
  }

  /// The rest of the message, not looked into beyond its size.
  fileprivate mutating func record() throws(DecodingFailure) -> ControlMessage.UnparsedRecord {
    guard remaining <= UnverifiedPeerRecord.sizeLimit else { throw .tooLarge }
    return ControlMessage.UnparsedRecord(bundle: try bytes(remaining))
  }
}
