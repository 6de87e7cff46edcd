import Backbone
import BackboneAPI
import Foundation
import MeshCrypto
import MeshWire
import NIOHTTP1
import Testing

@Suite("HTTP of a real backbone") struct HTTPTests {
  private static let json = [("content-type", "application/json")]

  @Test func `a login that is sent again fails, also at the same moment`() async throws {
    try await withBackbone { backbone in
      let body = try await backbone.loginRequest()
      let statuses = try await withThrowingTaskGroup(of: Int.self) { tasks in
        for _ in 0..<8 { tasks.addTask { try await backbone.logIn(body).status } }
        return try await tasks.reduce(into: [Int]()) { $0.append($1) }
      }
      #expect(statuses.count { $0 == 200 } == 1)
      #expect(statuses.count { $0 == 401 } == 7)
      #expect(try await backbone.logIn(body).problem?.kind == .loginRefused)
    }
  }

  @Test func `a stranger's bad signature and an unknown peer get the same answer`() async throws {
    try await withBackbone(admission: .list([Fixture.bob.keyHash])) { backbone in
      let unknown = try await backbone.logIn(try await backbone.loginRequest(as: Fixture.alice))
      var spoiled = try VerifyRequest(json: try await backbone.loginRequest(as: Fixture.bob))
      spoiled = VerifyRequest(
        peerID: spoiled.peerID, challenge: spoiled.challenge,
        signature: Array(spoiled.signature.reversed()), publicKey: spoiled.publicKey,
        audience: spoiled.audience, invite: nil)
      let bad = try await backbone.logIn([UInt8](try JSONEncoder().encode(spoiled)))
      #expect(unknown.status == 401)
      #expect(bad.status == unknown.status)
      #expect(bad.body == unknown.body)
    }
  }

  struct Mistake: Sendable, CustomTestStringConvertible {
    let method: HTTPMethod
    let path: String
    var headers: [(String, String)] = []
    var body: String?
    let kind: Problem.Kind
    var testDescription: String { "\(method.rawValue) \(path) \(kind.rawValue)" }
  }

  private static let alice = Fixture.alice.keyHash.peerID

  static let mistakes: [Mistake] = [
    Mistake(method: .GET, path: "/", kind: .notFound),
    Mistake(method: .GET, path: "/api/auth/challenge/x", kind: .notFound),
    Mistake(method: .POST, path: "/api/auth/challenge", kind: .methodNotAllowed),
    Mistake(method: .GET, path: "/api/auth/verify", kind: .methodNotAllowed),
    Mistake(method: .DELETE, path: "/api/peers/record", kind: .methodNotAllowed),
    Mistake(method: .POST, path: "/api/auth/verify", body: "{}", kind: .unsupportedMediaType),
    Mistake(method: .POST, path: "/api/auth/verify", headers: json, body: "{}", kind: .malformedRequest),
    Mistake(method: .POST, path: "/api/auth/verify", headers: json, body: "{", kind: .malformedRequest),
    Mistake(method: .POST, path: "/api/auth/verify", headers: json, body: "[]", kind: .malformedRequest),
    Mistake(method: .POST, path: "/api/auth/verify", headers: json, kind: .malformedRequest),
    Mistake(
      method: .POST, path: "/api/auth/verify", headers: json,
      body:
        #"{"peer_id":"\#(alice)","challenge":"","signature":"","public_key":"","x":1}"#,
      kind: .malformedRequest),
    Mistake(
      method: .POST, path: "/api/auth/verify", headers: json,
      body: #"{"peer_id":"\#(alice)","challenge":"","signature":"","public_key":""}"#,
      kind: .challengeRefused),
    Mistake(
      method: .POST, path: "/api/auth/verify", headers: json,
      body: "\"" + String(repeating: "a", count: MessageLimit.login) + "\"", kind: .bodyTooLarge),
    Mistake(method: .GET, path: "/api/peers/lookup?peer_id=00", kind: .tokenRefused),
    Mistake(method: .PUT, path: "/api/peers/record", headers: json, body: "{}", kind: .tokenRefused),
    Mistake(
      method: .GET, path: "/api/peers/lookup", headers: [("authorization", "Basic eDp5")],
      kind: .tokenRefused),
  ]

  @Test func `every mistake is answered with a problem of its kind`() async throws {
    try await withBackbone { backbone in
      for mistake in Self.mistakes {
        let answer = try await backbone.send(
          mistake.method, mistake.path, headers: mistake.headers, body: mistake.body.map { Array($0.utf8) })
        #expect(answer.problem?.kind == mistake.kind, "\(mistake.testDescription)")
        #expect(answer.status == mistake.kind.status)
        #expect(answer.problem?.status == answer.status)
        #expect(answer.headers.first(name: "cache-control") == "no-store")
        #expect(
          (answer.headers.first(name: "www-authenticate") == "Bearer") == (mistake.kind == .tokenRefused))
        #expect((answer.headers.first(name: "allow") != nil) == (mistake.kind == .methodNotAllowed))
      }
    }
  }

  @Test func `a body is read up to its bound, also when nobody said how long it is`() async throws {
    try await withBackbone { backbone in
      func kind(size: Int) async throws -> Problem.Kind? {
        let body = [UInt8](repeating: 0x20, count: size)
        return try await backbone.send(
          .POST, Route.verify.rawValue, headers: Self.json, body: body, isChunked: true
        ).problem?.kind
      }
      let most = try await kind(size: MessageLimit.login)
      let more = try await kind(size: MessageLimit.login + 1)
      #expect(most == .malformedRequest)
      #expect(more == .bodyTooLarge)
    }
  }

  @Test func `with a token, bad queries and records are refused for what they are`() async throws {
    try await withBackbone { backbone in
      let token = try await backbone.token(of: Fixture.alice)
      let headers = [("authorization", "Bearer \(token)"), ("content-type", "application/json")]
      for query in ["", "?peer_id=00", "?peer_id=zz", "?peer=00"] {
        let answer = try await backbone.send(.GET, "/api/peers/lookup" + query, headers: headers)
        #expect(answer.problem?.kind == .malformedRequest)
      }
      let twice = try await backbone.send(.GET, "/api/peers/lookup", headers: headers + [headers[0]])
      #expect(twice.problem?.kind == .tokenRefused)
      func publish(_ bundle: [UInt8]) async throws -> Problem.Kind? {
        let body = RecordMessage(record: bundle).json
        return try await backbone.send(.PUT, "/api/peers/record", headers: headers, body: body)
          .problem?.kind
      }
      let record = try Fixture.record(of: Fixture.alice, sequence: 3)
      #expect(try await publish(record.bundle) == nil)
      #expect(try await publish(try Fixture.record(of: Fixture.alice, sequence: 2).bundle) == .sequenceTooLow)
      let reused = try Fixture.record(of: Fixture.alice, sequence: 3, port: 1)
      #expect(try await publish(reused.bundle) == .sequenceReused)
      #expect(try await publish(try Fixture.record(of: Fixture.bob).bundle) == .notOwner)
      #expect(try await publish([1, 2, 3]) == .recordRefused)
      var spoiled = try Fixture.record(of: Fixture.alice, sequence: 4).bundle
      spoiled[spoiled.count - 10] ^= 1
      #expect(try await publish(spoiled) == .recordRefused)
      var foreignKey = try Fixture.record(of: Fixture.alice, sequence: 4).bundle
      foreignKey[400] ^= 1
      #expect(try await publish(foreignKey) == .recordRefused)
      let late = try Fixture.record(of: Fixture.alice, sequence: 4, expiry: Fixture.now + .seconds(90_000))
      #expect(try await publish(late.bundle) == .recordRefused)
    }
  }

  @Test func `too many logins from one prefix wait, and are let in again later`() async throws {
    var limits = BackboneSettings.Limits()
    limits.loginsPerMinute = 3
    try await withBackbone(limits: limits) { backbone in
      for _ in 0..<3 { #expect(try await backbone.send(.GET, "/api/auth/challenge").status == 200) }
      let refused = try await backbone.send(.GET, "/api/auth/challenge")
      #expect(refused.problem?.kind == .rateLimited)
      #expect(refused.headers.first(name: "retry-after") == "20")
      backbone.clock.advance(by: 20)
      #expect(try await backbone.send(.GET, "/api/auth/challenge").status == 200)
    }
  }

  @Test func `too many logins wait before anything of them is looked at`() async throws {
    var limits = BackboneSettings.Limits()
    limits.loginsPerMinute = 2
    try await withBackbone(limits: limits) { backbone in
      let body: [UInt8] = Array("{}".utf8)
      for _ in 0..<2 {
        let answer = try await backbone.logIn(body)
        #expect(answer.status == 400)
      }
      let refused = try await backbone.logIn(body)
      #expect(refused.problem?.kind == .rateLimited)
    }
  }

  @Test(arguments: [
    "/metrics", "/ready", "/openapi.json", "/nowhere", "/api/auth/verify", "/api/peers/lookup",
  ])
  func `too many requests without a good token wait, and keep nobody from logging in`(
    path: String
  ) async throws {
    var limits = BackboneSettings.Limits()
    limits.strayRequestsPerSecond = 1
    try await withBackbone(limits: limits) { backbone in
      let bad = [("authorization", "Bearer x")]
      for _ in 0..<5 { #expect(try await backbone.send(.GET, path, headers: bad).status != 429) }
      #expect(try await backbone.send(.GET, path, headers: bad).problem?.kind == .rateLimited)
      #expect(try await backbone.send(.GET, "/health").status == 200)
      let good = [("authorization", "Bearer \(try await backbone.token(of: Fixture.alice))")]
      let lookUp = "/api/peers/lookup?peer_id=\(Fixture.carol.keyHash.peerID)"
      #expect(try await backbone.send(.GET, lookUp, headers: good).problem?.kind == .peerNotFound)
    }
  }

  @Test func `too many requests of one peer wait, and another peer's don't`() async throws {
    var limits = BackboneSettings.Limits()
    limits.requestsPerSecond = 1
    try await withBackbone(limits: limits) { backbone in
      let alice = [("authorization", "Bearer \(try await backbone.token(of: Fixture.alice))")]
      let bob = [("authorization", "Bearer \(try await backbone.token(of: Fixture.bob))")]
      let path = "/api/peers/lookup?peer_id=\(Fixture.carol.keyHash.peerID)"
      for _ in 0..<5 { #expect(try await backbone.send(.GET, path, headers: alice).status == 404) }
      #expect(try await backbone.send(.GET, path, headers: alice).status == 429)
      #expect(try await backbone.send(.GET, path, headers: bob).status == 404)
    }
  }

  @Test func `it is healthy and ready, and counts what it did`() async throws {
    try await withBackbone { backbone in
      _ = try await backbone.token(of: Fixture.alice)
      #expect(try await backbone.send(.GET, "/health").status == 200)
      #expect(try await backbone.send(.GET, "/ready").status == 200)
      let metrics = try await backbone.send(.GET, "/metrics")
      let text = String(decoding: metrics.body, as: UTF8.self)
      #expect(text.contains("shadowmesh_backbone_logins_total 1\n"))
      #expect(text.contains("shadowmesh_backbone_login_refusals_total{reason=\"bad_signature\"} 0\n"))
      #expect(text.contains("shadowmesh_backbone_request_seconds_count{route=\"/api/auth/verify\"} 1\n"))
      #expect(metrics.headers.first(name: "content-type")?.hasPrefix("text/plain; version=0.0.4") == true)
    }
  }

  @Test func `the OpenAPI document is served, and names every route and no other`() async throws {
    try await withBackbone { backbone in
      let served = try await backbone.send(.GET, "/openapi.json")
      let document = try #require(try JSONSerialization.jsonObject(with: served.body) as? [String: Any])
      #expect(document["openapi"] as? String == "3.1.0")
      let paths = try #require(document["paths"] as? [String: [String: [String: Any]]])
      #expect(Set(paths.keys) == Set(Route.allCases.map(\.rawValue)))
      for mistake in Self.mistakes {
        let path = mistake.path.split(separator: "?").first.map(String.init) ?? ""
        guard let operation = paths[path]?[mistake.method.rawValue.lowercased()] else { continue }
        let responses = try #require(operation["responses"] as? [String: Any])
        #expect(responses["\(mistake.kind.status)"] != nil, "\(mistake.testDescription)")
      }
    }
  }
}
