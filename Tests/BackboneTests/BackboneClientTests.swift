import Backbone
import Foundation
import MeshCrypto
import MeshWire
import Testing

@testable import BackboneAPI

@Suite("Client against a real backbone") struct BackboneClientTests {
  @Test func `a node logs in, publishes, is found, and withdraws`() async throws {
    try await withBackbone { backbone in
      try await backbone.withClient { client in
        let session = try await client.logIn(as: Fixture.alice, now: backbone.clock.now)
        #expect(session.nodes == Fixture.settings().nodes)
        #expect(session.expires == backbone.clock.now + .seconds(86_400))
        let record = try Fixture.record(of: Fixture.alice)
        try await client.publish(record, token: session.token)
        try await client.publish(record, token: session.token)
        let found = try await client.lookUp(record.peerID, token: session.token)
        #expect(try found?.verified(at: backbone.clock.now) == record)
        #expect(try await client.lookUp(Fixture.bob.keyHash.peerID, token: session.token) == nil)
        let tombstone = try Fixture.record(of: Fixture.alice, sequence: 2, kind: .tombstone)
        try await client.withdraw(tombstone: tombstone, token: session.token)
        #expect(try await client.lookUp(record.peerID, token: session.token) == nil)
        await #expect(throws: BackboneClientError.refused(Problem(.sequenceTooLow))) {
          try await client.publish(record, token: session.token)
        }
      }
    }
  }

  @Test(arguments: [-3_600, 3_600])
  func `a clock an hour off doesn't keep a node out, and is told`(offset: Int) async throws {
    try await withBackbone { backbone in
      let now = backbone.clock.now + .seconds(offset)
      let session = try await backbone.withClient { try await $0.logIn(as: Fixture.alice, now: now) }
      #expect(session.clockOffset == .seconds(-offset))
      #expect(session.expires == now + .seconds(86_400))
    }
  }

  @Test(arguments: [
    Fixture.now + .seconds(7_201), Fixture.now + .seconds(-7_201), WallTime(secondsSinceEpoch: 0),
    WallTime(secondsSinceEpoch: .max),
  ])
  func `a challenge whose time is over two hours off ends the login: records would go by it`(
    now: WallTime
  ) async throws {
    try await withBackbone { backbone in
      _ = try await backbone.withClient { client in
        await #expect {
          try await client.logIn(as: Fixture.alice, now: now)
        } throws: {
          guard case .clocksApart(let hours) = $0 as? BackboneClientError else { return false }
          return hours.magnitude >= 2
        }
      }
    }
  }

  @Test(arguments: [-7_200, 7_200])
  func `a challenge two hours off is the last that is accepted`(offset: Int) async throws {
    try await withBackbone { backbone in
      // The node list's own time is held against the node's clock as well, give or take the same two hours.
      let now = Fixture.now + .seconds(offset < 0 ? offset + 1 : offset)
      let session = try await backbone.withClient { try await $0.logIn(as: Fixture.alice, now: now) }
      #expect(session.clockOffset == Fixture.now - now)
    }
  }

  @Test func `no token is believed to last longer than seven days, or to be over already`() throws {
    let (start, end) = (Fixture.now, WallTime(secondsSinceEpoch: .max))
    #expect(try BackboneClient.tokenLife(from: start, to: end) == .seconds(7 * 86_400))
    #expect(throws: BackboneClientError.self) { try BackboneClient.tokenLife(from: start, to: start) }
    #expect(throws: BackboneClientError.self) { try BackboneClient.tokenLife(from: end, to: start) }
  }

  @Test func `a private node's endpoints reach only those whom it admitted`() async throws {
    try await withBackbone { backbone in
      let record = try Fixture.record(of: Fixture.alice, admitted: [Fixture.bob.keyHash])
      let tokens = try await [Fixture.alice, Fixture.bob, Fixture.carol].asyncMap {
        try await backbone.token(of: $0)
      }
      try await backbone.withClient { client in
        try await client.publish(record, token: tokens[0])
        func seen(by token: String) async throws -> PeerRecord? {
          try await client.lookUp(record.peerID, token: token)?.verified(at: backbone.clock.now)
        }
        #expect(try await seen(by: tokens[0]) == record)
        #expect(try await seen(by: tokens[1])?.endpoints == record.endpoints)
        let forCarol = try await seen(by: tokens[2])
        #expect(forCarol == record.withoutPrivatePart)
        #expect(forCarol?.endpoints == [])
      }
    }
  }

  @Test func `an expired record is not found`() async throws {
    try await withBackbone { backbone in
      let token = try await backbone.token(of: Fixture.alice)
      try await backbone.withClient { client in
        let record = try Fixture.record(of: Fixture.alice, expiry: Fixture.now + .seconds(60))
        try await client.publish(record, token: token)
        backbone.clock.advance(by: 60)
        #expect(try await client.lookUp(record.peerID, token: token) == nil)
        await #expect {
          try await client.publish(record, token: token)
        } throws: {
          guard case .refused(let problem) = $0 as? BackboneClientError else { return false }
          return problem.kind == .recordRefused && problem.detail?.contains("expired") == true
        }
      }
    }
  }

  @Test func `a login meant for another region or another backbone's key is refused`() async throws {
    try await withBackbone { backbone in
      for configuration in [
        backbone.configuration(region: Fixture.region("asia_pacific")),
        backbone.configuration(backboneKey: Fixture.bob.keyHash),
      ] {
        try await backbone.withClient(configuration) { client in
          await #expect {
            try await client.logIn(as: Fixture.alice, now: backbone.clock.now)
          } throws: {
            guard case .loginRefused = $0 as? BackboneClientError else { return false }
            return true
          }
        }
      }
      try await backbone.withClient(backbone.configuration(backboneKey: nil)) { client in
        await #expect(throws: BackboneClientError.backboneKeyMissing) {
          try await client.logIn(as: Fixture.alice, now: backbone.clock.now)
        }
      }
    }
  }

  @Test func `an expired or revoked token asks for a new login`() async throws {
    try await withBackbone { backbone in
      let token = try await backbone.token(of: Fixture.alice)
      try await backbone.withClient { client in
        let nobody = try await client.lookUp(Fixture.bob.keyHash.peerID, token: token)
        #expect(nobody == nil)
        backbone.clock.advance(by: 86_400)
        await #expect(throws: BackboneClientError.tokenRefused) {
          try await client.lookUp(Fixture.bob.keyHash.peerID, token: token)
        }
        await #expect(throws: BackboneClientError.tokenRefused) {
          try await client.lookUp(Fixture.bob.keyHash.peerID, token: "nonsense")
        }
      }
    }
  }

  @Test func `an invite lets a node in once, and afterwards it is known`() async throws {
    try await withBackbone(admission: .invite) { backbone in
      func logIn(_ key: IdentityKey, invite: String?) async throws {
        try await backbone.withClient(backbone.configuration(invite: invite)) { client in
          _ = try await client.logIn(as: key, now: backbone.clock.now)
        }
      }
      await #expect(throws: BackboneClientError.self) { try await logIn(Fixture.alice, invite: nil) }
      let invite = try await Invite.create(expiry: Fixture.now + .seconds(60), in: backbone.store)
      try await logIn(Fixture.alice, invite: invite.secret)
      try await logIn(Fixture.alice, invite: nil)
      await #expect(throws: BackboneClientError.self) { try await logIn(Fixture.bob, invite: invite.secret) }
    }
  }

  @Test func `a node list that another key signed, or that has expired, fails the login`() throws {
    let list = BackboneNodeList(
      issuer: Fixture.backboneKey.keyHash, issued: Fixture.now, expiry: Fixture.now + .seconds(60),
      nodes: Fixture.settings().nodes)
    func verified(
      _ signer: IdentityKey, pinned: IdentityKey = Fixture.backboneKey, at time: WallTime = Fixture.now,
      context: SignatureContext = .operatorStatement
    ) throws -> [BackboneNode]? {
      let nodes = SignedNodes(
        list, signature: try signer.sign(list.bytes, context: context), publicKey: signer.publicKey.bytes)
      return nodes.verified(from: pinned.keyHash, now: time, tolerance: .seconds(10))
    }
    #expect(try verified(Fixture.backboneKey) == list.nodes)
    #expect(try verified(Fixture.bob) == nil)
    #expect(try verified(Fixture.bob, pinned: Fixture.bob) == nil)
    #expect(try verified(Fixture.backboneKey, context: .login) == nil)
    #expect(try verified(Fixture.backboneKey, at: Fixture.now + .seconds(70)) == nil)
    #expect(try verified(Fixture.backboneKey, at: Fixture.now + .seconds(-10)) == nil)
  }

  @Test func `a node list says no node that its signature doesn't cover`() throws {
    let node = try #require(Fixture.settings().nodes.first)
    func nodes(_ count: Int) throws -> SignedNodes {
      let list = BackboneNodeList(
        issuer: Fixture.backboneKey.keyHash, issued: Fixture.now, expiry: Fixture.now + .seconds(60),
        nodes: Array(repeating: node, count: count))
      return SignedNodes(
        list, signature: try list.signed(by: Fixture.backboneKey),
        publicKey: Fixture.backboneKey.publicKey.bytes)
    }
    func count(_ nodes: SignedNodes) -> Int? {
      nodes.verified(from: Fixture.backboneKey.keyHash, now: Fixture.now, tolerance: .seconds(10))?.count
    }
    #expect(try count(nodes(64)) == 64)
    #expect(try count(nodes(65)) == nil, "the signature covers 64")
    let json = String(decoding: try JSONEncoder().encode(try nodes(1)), as: UTF8.self)
    let added = #""backbone_nodes":[{"region":"","ip":"","port":1,"key_hash":""},"#
    let unreadable = json.replacing(#""backbone_nodes":["#, with: added)
    #expect(count(try JSONDecoder().decode(SignedNodes.self, from: Data(json.utf8))) == 1)
    #expect(count(try JSONDecoder().decode(SignedNodes.self, from: Data(unreadable.utf8))) == nil)
  }

  @Test(arguments: ["http://backbone.example", "http://192.0.2.1:8080", "http://[2001:db8::1]"])
  func `plain HTTP beyond loopback is refused, and the refusal names the key that permits it`(url: String) {
    func client(allowed: Bool) throws -> BackboneClientConfiguration {
      let configuration = BackboneClientConfiguration(
        url: url, region: Fixture.region, backboneKey: nil, allowPlainHTTP: allowed)
      _ = try configuration.checkedOrigin()
      return configuration
    }
    #expect {
      try client(allowed: false)
    } throws: {
      "\($0)".contains("allow_plain_http: true")
    }
    #expect(throws: Never.self) { try client(allowed: true) }
  }

  @Test func `nobody there is a clear error`() async throws {
    let client = try BackboneClient(
      configuration: BackboneClientConfiguration(
        url: "http://127.0.0.1:1", region: Fixture.region, backboneKey: Fixture.backboneKey.keyHash))
    await #expect {
      try await client.logIn(as: Fixture.alice, now: Fixture.now)
    } throws: {
      "\($0)".contains("no answer from the backbone at http://127.0.0.1:1")
    }
    try await client.shutdown()
  }
}

extension Array {
  /// One after the other.
  func asyncMap<Value>(_ transform: (Element) async throws -> Value) async rethrows -> [Value] {
    var values: [Value] = []
    for element in self { values.append(try await transform(element)) }
    return values
  }
}
