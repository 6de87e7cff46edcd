import AsyncHTTPClient
import Daemon
import Foundation
public import MeshCrypto
public import MeshWire
import NIOCore
import NIOFoundationCompat
import NIOHTTP1
import NIOSSL

/// A node's side of the backbone's HTTP API. Holds connections; call ``shutdown()`` before letting go of it.
///
/// Every method throws ``BackboneClientError``. No answer is trusted for who it comes from: the login
/// statement and the node list bind to the configured `backbone_key`, and records come back unverified.
public struct BackboneClient: Sendable {
  /// How long one request may take, to the last byte of its answer.
  static let requestTime = Duration.seconds(15)
  /// How far the clocks of node and backbone may be apart. What a node signs goes by the backbone's clock,
  /// and nobody has signed the challenge that tells it.
  static let clockTolerance = Duration.seconds(7_200)
  /// The longest life of a token that is believed: the most that a backbone's `token_life` can be.
  static let longestTokenLife = Duration.seconds(7 * 86_400)

  private let configuration: BackboneClientConfiguration
  private let origin: Origin
  private let requestTime: Duration
  private let http: HTTPClient

  /// Checks the configuration and loads the CA file; nothing is sent yet.
  public init(configuration: BackboneClientConfiguration) throws(BackboneClientError) {
    try self.init(configuration: configuration, requestTime: Self.requestTime)
  }

  init(configuration: BackboneClientConfiguration, requestTime: Duration) throws(BackboneClientError) {
    self.configuration = configuration
    self.requestTime = requestTime
    origin = try configuration.checkedOrigin()
    var tls = TLSConfiguration.makeClientConfiguration()
    tls.minimumTLSVersion = .tlsv13
    tls.curves = [.x25519_MLKEM768, .x25519, .secp256r1, .secp384r1]
    if let path = configuration.caFile {
      do {
        tls.additionalTrustRoots = [.certificates(try NIOSSLCertificate.fromPEMFile(path))]
      } catch {
        throw .badCAFile(path, reason: "\(error)")
      }
    }
    var settings = HTTPClient.Configuration(
      tlsConfiguration: tls, redirectConfiguration: .disallow,
      timeout: .init(connect: .seconds(5), read: .seconds(10)))
    settings.httpVersion = .http1Only
    http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
  }

  /// Closes the connections. The client is of no use afterwards.
  public func shutdown() async throws { try await http.shutdown() }

  /// Proves to the backbone that this node holds `key`, and gets a token. Signing takes about a millisecond.
  public func logIn(as key: IdentityKey, now: WallTime) async throws -> LoginSession {
    guard let backbone = configuration.backboneKey else { throw BackboneClientError.backboneKeyMissing }
    let challenge: ChallengeAnswer = try await send(request(.challenge))
    // Before the signatures, which a clock that is far off would make look forged.
    let serverNow = WallTime(secondsSinceEpoch: challenge.timestamp)
    let offset = serverNow - now
    guard offset <= Self.clockTolerance, .zero - offset <= Self.clockTolerance else {
      throw BackboneClientError.clocksApart(hours: Int(clamping: offset.components.seconds / 3_600))
    }
    guard let bytes = [UInt8](hex: challenge.challenge), bytes.count <= MessageLimit.challenge else {
      throw BackboneClientError.badAnswer("a challenge that is not hexadecimal digits")
    }
    let statement = LoginStatement(
      audience: origin, region: configuration.region, backbone: backbone, challenge: bytes, node: key.keyHash)
    let signature: [UInt8]
    do { signature = try statement.signed(by: key) } catch { throw BackboneClientError.keyUnavailable }
    let body = VerifyRequest(
      peerID: key.keyHash.peerID, challenge: bytes, signature: signature, publicKey: key.publicKey.bytes,
      audience: origin.description, invite: configuration.invite)
    let answer: VerifyAnswer = try await send(request(.verify, method: .POST, json: try body.json))
    guard let nodes = answer.nodes.verified(from: backbone, now: now, tolerance: Self.clockTolerance) else {
      throw BackboneClientError.wrongBackbone
    }
    let life = try Self.tokenLife(from: serverNow, to: WallTime(secondsSinceEpoch: answer.expiresAt))
    return LoginSession(token: answer.sessionToken, expires: now + life, nodes: nodes, clockOffset: offset)
  }

  /// How long a token is good: more than nothing, at most ``longestTokenLife``.
  static func tokenLife(from start: WallTime, to end: WallTime) throws(BackboneClientError) -> Duration {
    guard end > start else { throw .badAnswer("a token that has expired already") }
    return min(end - start, longestTokenLife)
  }

  /// Publishes this node's own record, or withdraws it when the record is a tombstone.
  public func publish(_ record: PeerRecord, token: String) async throws {
    let message = RecordMessage(record: record.bundle)
    _ = try await exchange(request(.record, method: .PUT, json: message.json, token: token))
  }

  /// Publishes a tombstone: nobody finds this node from then on.
  public func withdraw(tombstone: PeerRecord, token: String) async throws {
    try await publish(tombstone, token: token)
  }

  /// The record that the backbone has of a peer, not verified yet; `nil` when it has none. Whoever calls
  /// verifies it, and that its KeyHash belongs to the PeerID asked for.
  public func lookUp(_ peer: PeerID, token: String) async throws -> UnverifiedPeerRecord? {
    let body: ByteBuffer
    do {
      body = try await exchange(request(.lookUp, query: "?peer_id=\(peer)", token: token))
    } catch BackboneClientError.refused(let problem) where problem.kind == .peerNotFound {
      return nil
    }
    do {
      return try UnverifiedPeerRecord(bundle: RecordMessage(json: Array(buffer: body)).record)
    } catch {
      throw BackboneClientError.badAnswer("\(error)")
    }
  }

  /// At most `limit` public nodes that offer to relay, a sample that prefers those of `region`; not verified
  /// yet. One that can't be read, or that has more than a public record, is left out.
  public func relays(
    near region: Region, limit: Int, token: String
  ) async throws -> [UnverifiedPeerRecord] {
    let count = max(1, min(limit, RelayList.maximumCount))
    let list: RelayList = try await send(
      request(.relays, query: "?region=\(region)&limit=\(count)", token: token), upTo: MessageLimit.relays)
    return list.relays.compactMap { try? UnverifiedPeerRecord(bundle: $0) }.filter { !$0.hasPrivatePart }
  }

  private func request(
    _ route: Route, method: HTTPMethod = .GET, query: String = "", token: String? = nil
  ) -> HTTPClientRequest {
    var request = HTTPClientRequest(url: origin.description + route.rawValue + query)
    request.method = method
    request.headers.add(name: "accept", value: "application/json, application/problem+json")
    if let token { request.headers.add(name: "authorization", value: "Bearer \(token)") }
    return request
  }

  private func request(
    _ route: Route, method: HTTPMethod, json: [UInt8], token: String? = nil
  ) -> HTTPClientRequest {
    var request = request(route, method: method, token: token)
    request.headers.add(name: "content-type", value: "application/json")
    request.body = .bytes(ByteBuffer(bytes: json))
    return request
  }

  private func send<Answer: Decodable>(
    _ request: HTTPClientRequest, upTo limit: Int = MessageLimit.answer
  ) async throws -> Answer {
    let body = try await exchange(request, upTo: limit)
    do {
      return try JSONDecoder().decode(Answer.self, from: Data(buffer: body))
    } catch {
      throw BackboneClientError.badAnswer("not the JSON that was expected")
    }
  }

  /// Sends one request, reads at most `limit` bytes, and turns errors into ours.
  private func exchange(
    _ request: HTTPClientRequest, upTo limit: Int = MessageLimit.answer
  ) async throws -> ByteBuffer {
    let answer: Answer?
    do {
      answer = try await wholeAnswer(to: request, upTo: limit)
    } catch is NIOTooManyBytesError {
      throw BackboneClientError.badAnswer("more than \(limit) bytes")
    } catch is CancellationError {
      throw CancellationError()
    } catch {
      throw BackboneClientError.unreachable(url: origin.description, reason: "\(error)")
    }
    guard let answer else {
      throw BackboneClientError.unreachable(
        url: origin.description, reason: "no whole answer within \(requestTime.components.seconds) s")
    }
    if (200..<300).contains(answer.status.code) { return answer.body }
    let retry = answer.headers.first(name: "retry-after").flatMap { Int($0) }
    throw Self.failure(status: Int(answer.status.code), body: answer.body, retryAfter: retry)
  }

  private struct Answer: Sendable {
    let status: HTTPResponseStatus
    let headers: HTTPHeaders
    let body: ByteBuffer
  }

  /// The whole answer, or `nil` when it takes longer than a request may. The HTTP client's own time limit
  /// ends with the head of the answer: a body that trickles could hold a node for days.
  private func wholeAnswer(to request: HTTPClientRequest, upTo limit: Int) async throws -> Answer? {
    try await Daemon.answer(within: requestTime) {
      let response = try await http.execute(request, timeout: TimeAmount(requestTime))
      let body = try await response.body.collect(upTo: limit)
      return Answer(status: response.status, headers: response.headers, body: body)
    }
  }

  private static func failure(status: Int, body: ByteBuffer, retryAfter: Int?) -> BackboneClientError {
    guard let problem = try? JSONDecoder().decode(Problem.self, from: Data(buffer: body)) else {
      return .badAnswer("HTTP status \(status) without an explanation; is this a backbone?")
    }
    switch problem.kind {
    case .tokenRefused: return .tokenRefused
    case .loginRefused, .challengeRefused: return .loginRefused(problem.detail ?? problem.title)
    case .rateLimited, .overloaded, .storeUnavailable:
      return .busy(retryAfterSeconds: max(1, min(retryAfter ?? 5, 3_600)))
    default: return .refused(problem)
    }
  }
}
