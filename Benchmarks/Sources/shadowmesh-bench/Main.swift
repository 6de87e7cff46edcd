import BackboneAPI
import Foundation
import MeshCrypto
import MeshWire

/// One measurement a call; the result is JSON on standard output. `scripts/bench` calls these.
@main
enum Main {
  static func main() async throws {
    let arguments = Array(CommandLine.arguments.dropFirst())
    switch arguments.first {
    case "handshake":
      let primitives = try Primitives.measured()
      let handshake = try Handshake.measured(count: 1_000)
      try show(HandshakeResult(handshakeMicroseconds: handshake, primitives: primitives))
    case "verify": print(try Primitives.verifyMicroseconds(count: number(arguments, 1)))
    case "login":
      let clients = try clients(arguments, count: 20)
      try await clients.logIn(count: number(arguments, 4))
      try await clients.client.shutdown()
    case "login-bodies":
      let clients = try clients(arguments, count: 20)
      let challenges = try String(contentsOfFile: argument(arguments, 4), encoding: .utf8)
      for (index, line) in challenges.split(separator: "\n").enumerated() {
        print(String(decoding: try clients.loginBody(for: line, index: index), as: UTF8.self))
      }
      try await clients.client.shutdown()
    case "token":
      let clients = try clients(arguments, count: number(arguments, 4))
      for token in try await clients.tokens() { print(token) }
      try await clients.client.shutdown()
    case "publish":
      let clients = try clients(arguments, count: number(arguments, 4))
      try await clients.publish()
      for key in clients.keys { print(key.keyHash.peerID) }
      try await clients.client.shutdown()
    case "bare-route":
      let body = try Data(contentsOf: URL(fileURLWithPath: argument(arguments, 2)))
      try await BareRoute.serve(port: number(arguments, 1), body: Array(body))
    default:
      throw Usage(
        text:
          "handshake | verify COUNT | login URL REGION KEY COUNT"
          + " | login-bodies URL REGION KEY CHALLENGES_FILE"
          + " | token URL REGION KEY COUNT | publish URL REGION KEY COUNT | bare-route PORT BODY_FILE")
    }
  }

  struct Usage: Error { let text: String }

  struct HandshakeResult: Codable {
    var handshakeMicroseconds: Double
    var primitives: Primitives
    var sumMicroseconds: Double
    var ratio: Double

    init(handshakeMicroseconds: Double, primitives: Primitives) {
      self.handshakeMicroseconds = handshakeMicroseconds
      self.primitives = primitives
      sumMicroseconds = primitives.handshakeMicroseconds
      ratio = handshakeMicroseconds / sumMicroseconds
    }
  }

  private static func argument(_ arguments: [String], _ index: Int) throws -> String {
    guard index < arguments.count else { throw Usage(text: "argument \(index) is missing") }
    return arguments[index]
  }

  private static func number(_ arguments: [String], _ index: Int) throws -> Int {
    guard let number = Int(try argument(arguments, index)) else {
      throw Usage(text: "argument \(index) is no number")
    }
    return number
  }

  /// Arguments 1 to 3: the backbone's URL, its region and its KeyHash.
  private static func clients(_ arguments: [String], count: Int) throws -> Clients {
    guard let region = Region(try argument(arguments, 2)), let key = KeyHash(hex: try argument(arguments, 3))
    else { throw Usage(text: "a region and a KeyHash are wanted") }
    return try Clients(url: try argument(arguments, 1), region: region, backboneKey: key, count: count)
  }

  private static func show(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    print(String(decoding: try encoder.encode(value), as: UTF8.self))
  }
}
