import BackboneAPI
import Foundation
import MeshCrypto
import MeshWire
import Testing

/// The worked vector of `docs/AUTHENTICATION_PROTOCOL.md` says what the code does.
@Suite("Authentication vector") struct AuthenticationVectorTests {
  struct Vector: Codable {
    struct Statement: Codable {
      let audience: String
      let region: String
      let backbone: String
      let challenge: String
      let node: String
      let bytes: String
      let signature: String
    }

    struct NodeList: Codable {
      let issued: UInt64
      let expiry: UInt64
      let nodes: [SignedNodes.Node]
      let bytes: String
      let signature: String
    }

    let nodeSeed: String
    let backboneSeed: String
    let login: Statement
    let nodeList: NodeList

    enum CodingKeys: String, CodingKey {
      case nodeSeed = "node_seed"
      case backboneSeed = "backbone_seed"
      case login
      case nodeList = "node_list"
    }
  }

  static let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("docs/protocol/authentication-vector.json")

  @Test func `the vector is what the code signs`() throws {
    if ProcessInfo.processInfo.environment["SHADOWMESH_WRITE_VECTORS"] != nil { try write() }
    let vector = try JSONDecoder().decode(Vector.self, from: Data(contentsOf: Self.file))
    func key(_ hex: String) throws -> IdentityKey { try IdentityKey(seed: [UInt8](hex: hex) ?? []) }
    let node = try key(vector.nodeSeed)
    let backbone = try key(vector.backboneSeed)
    #expect(vector.login.node == node.keyHash.description)
    #expect(vector.login.backbone == backbone.keyHash.description)

    let statement = LoginStatement(
      audience: try #require(Origin(url: vector.login.audience)),
      region: try #require(Region(vector.login.region)), backbone: backbone.keyHash,
      challenge: try #require([UInt8](hex: vector.login.challenge)), node: node.keyHash)
    #expect(statement.audience.description == vector.login.audience)
    #expect(statement.bytes.hex == vector.login.bytes)
    let signature = try #require(Base64.decode(vector.login.signature))
    #expect(statement.isSigned(signature, by: node.publicKey))

    let list = BackboneNodeList(
      issuer: backbone.keyHash, issued: WallTime(secondsSinceEpoch: vector.nodeList.issued),
      expiry: WallTime(secondsSinceEpoch: vector.nodeList.expiry),
      nodes: vector.nodeList.nodes.compactMap(\.node))
    #expect(list.nodes.count == 2)
    #expect(list.bytes.hex == vector.nodeList.bytes)
    #expect(list.isSigned(try #require(Base64.decode(vector.nodeList.signature)), by: backbone.publicKey))
  }

  /// Makes the file anew; its signatures are randomised.
  private func write() throws {
    let node = Fixture.alice
    let backbone = Fixture.backboneKey
    let statement = LoginStatement(
      audience: Fixture.origin("https://backbone.example:8443"), region: Fixture.region,
      backbone: backbone.keyHash, challenge: (0..<56).map { UInt8($0) }, node: node.keyHash)
    let list = BackboneNodeList(
      issuer: backbone.keyHash, issued: Fixture.now, expiry: Fixture.now + .seconds(86_400),
      nodes: [
        BackboneNode(
          region: Fixture.region, endpoint: Endpoint(.v4(0xc633_6407), port: 8_443),
          keyHash: backbone.keyHash, stun: Endpoint(.v4(0xc633_6407), port: 3_478)),
        BackboneNode(
          region: Fixture.region("asia_pacific"),
          endpoint: Endpoint(.v6(0x2001_0db8_0000_0000_0000_0000_0000_0001), port: 443),
          keyHash: Fixture.bob.keyHash),
      ])
    let listSignature = try list.signed(by: backbone)
    let vector = Vector(
      nodeSeed: node.seed.hex, backboneSeed: backbone.seed.hex,
      login: Vector.Statement(
        audience: statement.audience.description, region: statement.region.name,
        backbone: backbone.keyHash.description, challenge: statement.challenge.hex,
        node: node.keyHash.description, bytes: statement.bytes.hex,
        signature: Base64.encode(try statement.signed(by: node))),
      nodeList: Vector.NodeList(
        issued: list.issued.secondsSinceEpoch, expiry: list.expiry.secondsSinceEpoch,
        nodes: SignedNodes(list, signature: listSignature, publicKey: []).backboneNodes,
        bytes: list.bytes.hex, signature: Base64.encode(listSignature)))
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    try encoder.encode(vector).write(to: Self.file)
  }
}
