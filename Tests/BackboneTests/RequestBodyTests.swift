import BackboneAPI
import Foundation
import MeshCrypto
import MeshWire
import Testing

@Suite("Request bodies") struct RequestBodyTests {
  private static let request = VerifyRequest(
    peerID: Fixture.alice.keyHash.peerID, challenge: Array(0..<56),
    signature: Array(repeating: 0xff, count: 4_627),
    publicKey: Fixture.alice.publicKey.bytes, audience: "https://backbone.example:8443",
    invite: "ü \"\\ / \n€")

  private func read(_ json: String) -> Result<VerifyRequest, MalformedMessage> {
    Result { () throws(MalformedMessage) in try VerifyRequest(json: Array(json.utf8)) }
  }

  private func problem(_ json: String) -> String? {
    if case .failure(let error) = read(json) { error.description } else { nil }
  }

  @Test func `a login reads back, with every escape that an encoder may choose`() throws {
    let request = Self.request
    #expect(try VerifyRequest(json: request.json) == request)
    // Foundation's own choice: slashes escaped.
    #expect(try VerifyRequest(json: Array(JSONEncoder().encode(request))) == request)
    let text = String(decoding: try request.json, as: UTF8.self)
    let escaped = text.replacing("ü", with: #"\u00fC"#).replacing("€", with: #"\u20ac"#)
    #expect(read(escaped) == .success(request))
    #expect(
      read(" \t\r\n" + text.replacing(",", with: " ,\n").replacing("\":", with: "\" :\t") + " ")
        == .success(request))
  }

  @Test func `each escape of RFC 8259 stands for its character`() throws {
    let text = String(decoding: try Self.request.json, as: UTF8.self)
    let short = text.replacing("https://backbone.example:8443", with: #"\"\\\/\b\f\n\r\t\u0041\uD83D\uDE00"#)
    #expect(try read(short).get().audience == "\"\\/\u{8}\u{c}\n\r\tA😀")
  }

  @Test func `a record reads back`() throws {
    let record = RecordMessage(record: try Fixture.record(of: Fixture.alice).bundle)
    #expect(try RecordMessage(json: record.json) == record)
    #expect(try JSONSerialization.jsonObject(with: Data(record.json)) is [String: String])
  }

  @Test(arguments: [
    ("", "the body is not a JSON object"), ("[]", "the body is not a JSON object"),
    ("{", "the body is not JSON"), ("{}x", "the body is not JSON"),
    ("{\"peer_id\":\"00\",}", "the body is not JSON"),
    ("{\"peer_id\" \"00\"}", "the body is not JSON"), ("{\"peer_id\":\"0\u{1}0\"}", "the body is not JSON"),
    (#"{"peer_id":"\x"}"#, "the body is not JSON"), (#"{"peer_id":"\u12"}"#, "the body is not JSON"),
    (#"{"peer_id":"\ud800"}"#, "the body is not JSON"),
    (#"{"peer_id":"\ud800\ud800"}"#, "the body is not JSON"),
    (#"{"peer_id":"\udc00"}"#, "the body is not JSON"), (#"{"peer_id":"\ud800\u"}"#, "the body is not JSON"),
    (#"{"peer_id":"\"#, "the body is not JSON"),
    (#"{"peer_id":"\u00"#, "the body is not JSON"),
    (#"{"peer_id":"00","peer_id":"00"}"#, "peer_id: stands twice"),
    (#"{"peer_id":1}"#, "peer_id: not a text"), (#"{"peer_id":null}"#, "peer_id: not a text"),
    (#"{"peer_id":{"peer_id":""}}"#, "peer_id: not a text"), (#"{"else":""}"#, "else: unknown field"),
    ("{}", "peer_id: missing"), (#"{"peer_id":"0g"}"#, "peer_id: not an even number of hexadecimal digits"),
    (#"{"peer_id":"00"}"#, "peer_id: not 40 hexadecimal digits"),
  ])
  func `what isn't a login is refused in words`(_ json: String, _ words: String) {
    #expect(problem(json) == words)
  }

  @Test func `no beginning of a login is one, and no changed byte crashes`() throws {
    let json = try Self.request.json
    for count in 0..<json.count where count < 300 || count > json.count - 300 {
      #expect(throws: MalformedMessage.self) { try VerifyRequest(json: Array(json[..<count])) }
    }
    for index in 0..<200 {
      for byte in [0x00, 0x22, 0x5c, 0x7b, 0xff] as [UInt8] {
        var changed = json
        changed[index] = byte
        if let read = try? VerifyRequest(json: changed) {
          #expect(try VerifyRequest(json: read.json) == read)
        }
      }
    }
  }

  @Test func `a field beyond its bound is refused`() throws {
    let long = String(repeating: "a", count: 513)
    let text = String(decoding: try Self.request.json, as: UTF8.self)
    #expect(
      problem(text.replacing("https://backbone.example:8443", with: long))
        == "audience: longer than 512 bytes")
    // As many base64 characters as the longest signature has, and one byte more in them.
    let signature = [UInt8](repeating: 0xff, count: 4_627)
    #expect(
      problem(text.replacing(Base64.encode(signature), with: Base64.encode(signature + [0xff])))
        == "signature: not base64 of at most 4627 bytes")
  }

  @Test func `a text that is not UTF-8 is refused, not repaired`() throws {
    var json = try Self.request.json
    let place = try #require(json.firstRange(of: "backbone.example".utf8))
    json[place.lowerBound] = 0xff
    #expect {
      try VerifyRequest(json: json)
    } throws: {
      "\($0)" == "audience: not UTF-8"
    }
  }
}
