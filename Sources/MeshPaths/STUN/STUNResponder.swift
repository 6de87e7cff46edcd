public import MeshWire

/// One of a server's two addresses and one of its two ports (RFC 5780 §6).
public struct STUNSocket: Sendable, Hashable {
  public var usesOtherAddress: Bool
  public var usesOtherPort: Bool

  public init(usesOtherAddress: Bool = false, usesOtherPort: Bool = false) {
    self.usesOtherAddress = usesOtherAddress
    self.usesOtherPort = usesOtherPort
  }
}

/// What a STUN server sends back, and from which of its sockets.
public struct STUNAnswer: Sendable, Hashable {
  public let bytes: [UInt8]
  public let from: STUNSocket
}

/// The server's half of STUN over UDP: Binding requests, with NAT behaviour discovery (RFC 8489, RFC 5780)
/// where the server has two addresses of the family that was asked.
///
/// It answers strangers at the address that they claim, so it never answers with more than three times what
/// came (`docs/protocol/SMH1.md` holds SMH/1 to the same), and no network gets more than its share. An answer
/// that would be too long goes without MAPPED-ADDRESS, then without RESPONSE-ORIGIN, then without
/// OTHER-ADDRESS.
public struct STUNResponder: Sendable {
  /// One address family's two addresses and two ports, as clients see them.
  public struct Addresses: Sendable, Hashable {
    public let first: IPAddress
    public let second: IPAddress
    public let firstPort: UInt16
    public let secondPort: UInt16

    public init(_ first: IPAddress, _ second: IPAddress, ports firstPort: UInt16, _ secondPort: UInt16) {
      self.first = first
      self.second = second
      self.firstPort = firstPort
      self.secondPort = secondPort
    }

    func endpoint(_ socket: STUNSocket) -> Endpoint {
      Endpoint(
        socket.usesOtherAddress ? second : first, port: socket.usesOtherPort ? secondPort : firstPort)
    }
  }

  /// Monotonic, since the responder began.
  public struct Counters: Sendable, Hashable {
    public var answered = 0
    /// Answered with an error.
    public var refused = 0
    /// Not a Binding request that RFC 8489 allows.
    public var malformed = 0
    /// Over the share of a network, or of all networks that the table has no room for.
    public var limited = 0
  }

  /// Most answers a second to one /24 or /56, after a burst of twice as many.
  public static let answersPerSecond = 50
  /// Networks that are counted at the same time.
  public static let networkLimit = 4_096
  static let amplification = 3

  public private(set) var counters = Counters()
  private let v4: Addresses?
  private let v6: Addresses?
  private var shares = ShareTable(
    perSecond: STUNResponder.answersPerSecond, burst: 2 * STUNResponder.answersPerSecond,
    limit: STUNResponder.networkLimit)

  /// Without addresses it says where a request came from, and no more.
  public init(v4: Addresses? = nil, v6: Addresses? = nil) {
    self.v4 = v4
    self.v6 = v6
  }

  /// What to send back to `source` for a request that came in at `socket`; `nil`: nothing, and a counter says
  /// why.
  public mutating func answer(
    _ datagram: [UInt8], from source: Endpoint, at socket: STUNSocket = STUNSocket(), now: Instant
  ) -> STUNAnswer? {
    guard let request = try? STUNMessage(decoding: datagram), request.messageClass == .request,
      request.method == STUNMessage.binding
    else {
      counters.malformed += 1
      return nil
    }
    guard shares.take(source.address.limitPrefix, now: now) else {
      counters.limited += 1
      return nil
    }
    let addresses = if case .v4 = source.address { v4 } else { v6 }
    var unknown = request.unknownRequiredTypes
    var origin = socket
    for case .changeRequest(let address, let port) in request.attributes {
      if addresses == nil, address || port {
        // RFC 5780 §6.1: who can't do it says that it doesn't know the attribute.
        unknown.insert(STUNAttributeType.changeRequest, at: 0)
      }
      if address { origin.usesOtherAddress.toggle() }
      if port { origin.usesOtherPort.toggle() }
      break
    }
    guard unknown.isEmpty else {
      counters.refused += 1
      return STUNAnswer(bytes: refusal(of: request, unknown), from: socket)
    }
    let limit = Self.amplification * datagram.count
    counters.answered += 1
    var response = STUNMessage(.success, request.transaction, hasFingerprint: request.hasFingerprint)
    for attribute in attributes(for: source, addresses, at: socket, from: origin) {
      response.attributes.append(attribute)
      if response.encoded.count > limit {
        response.attributes.removeLast()
        break
      }
    }
    return STUNAnswer(bytes: response.encoded, from: origin)
  }

  /// The more important first.
  private func attributes(
    for source: Endpoint, _ addresses: Addresses?, at socket: STUNSocket, from origin: STUNSocket
  ) -> [STUNAttribute] {
    guard let addresses else { return [.xorMappedAddress(source), .mappedAddress(source)] }
    let opposite = STUNSocket(
      usesOtherAddress: !socket.usesOtherAddress, usesOtherPort: !socket.usesOtherPort)
    return [
      .xorMappedAddress(source), .otherAddress(addresses.endpoint(opposite)),
      .responseOrigin(addresses.endpoint(origin)), .mappedAddress(source),
    ]
  }

  /// No longer than three times the request: that had four bytes for each type that it names.
  private func refusal(of request: STUNMessage, _ unknown: [UInt16]) -> [UInt8] {
    STUNMessage(
      .failure, request.transaction,
      attributes: [.errorCode(420, reason: "Unknown Attribute"), .unknownAttributes(unknown)],
      hasFingerprint: request.hasFingerprint
    ).encoded
  }
}

/// A token bucket for each network, and for no more than `limit` networks.
struct ShareTable: Sendable {
  private struct Bucket {
    var level: Int64
    var at: Instant
  }

  private let perSecond: Int64
  private let burst: Int64
  private let limit: Int
  private var buckets: [IPAddress: Bucket] = [:]
  private var sweptAt = Instant(nanoseconds: 0)

  init(perSecond: Int, burst: Int, limit: Int) {
    self.perSecond = Int64(perSecond)
    self.burst = Int64(burst) * 1_000_000_000
    self.limit = limit
  }

  /// Takes one from the network's share; `false` where nothing is left, or where no room is for it.
  mutating func take(_ prefix: IPAddress, now: Instant) -> Bool {
    if buckets[prefix] == nil, buckets.count >= limit { sweep(now: now) }
    guard buckets[prefix] != nil || buckets.count < limit else { return false }
    let bucket = buckets[prefix] ?? Bucket(level: burst, at: now)
    let level = refilled(bucket, now: now)
    let isEnough = level >= 1_000_000_000
    buckets[prefix] = Bucket(level: isEnough ? level - 1_000_000_000 : level, at: now)
    return isEnough
  }

  private func refilled(_ bucket: Bucket, now: Instant) -> Int64 {
    let elapsed = max(0, (now - bucket.at).wholeNanoseconds)
    let (gain, overflow) = elapsed.multipliedReportingOverflow(by: perSecond)
    return overflow ? burst : min(burst, bucket.level + min(gain, burst))
  }

  /// Forgets who has a whole share again. At most once a second: going through the table is work.
  private mutating func sweep(now: Instant) {
    guard sweptAt.nanoseconds == 0 || now - sweptAt >= .seconds(1) else { return }
    sweptAt = now
    buckets = buckets.filter { refilled($0.value, now: now) < burst }
  }
}
