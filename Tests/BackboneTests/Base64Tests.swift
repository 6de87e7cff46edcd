import Foundation
import Testing

@testable import BackboneAPI

@Suite("Base64") struct Base64Tests {
  /// Foundation's own, for every length around those where the encoding changes its step.
  @Test func `encodes as Foundation does`() {
    for count in Array(0...64) + [7_323] {
      let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 151 &+ count) }
      #expect(Base64.encode(bytes) == Data(bytes).base64EncodedString())
      #expect(Base64.decode(Base64.encode(bytes)) == bytes)
    }
  }

  @Test func `knows all characters`() {
    let bytes = (0..<65_536).map { UInt8(truncatingIfNeeded: $0 >> 8 &+ $0 &* 7) }
    #expect(Base64.encode(bytes) == Data(bytes).base64EncodedString())
  }

  @Test func `stands between other texts`() {
    let text = Base64.characters(Array("foobar".utf8), after: "<é", before: ">")
    #expect(String(decoding: text, as: UTF8.self) == "<éZm9vYmFy>")
    #expect(Base64.characters([], after: "<", before: ">") == Array("<>".utf8))
  }

  // RFC 4648 §10, and the characters that differ in §5.
  @Test func `leaves out padding for URLs`() {
    #expect(String(decoding: Base64.encodeForURL(Array("foob".utf8)), as: UTF8.self) == "Zm9vYg")
    #expect(String(decoding: Base64.encodeForURL([0xfb, 0xff]), as: UTF8.self) == "-_8")
  }
}
