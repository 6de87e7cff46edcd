import MeshCrypto
import MeshWire
import Testing

@testable import MeshSession

/// What SMH1.md §2 and §3 don't have is refused even when its sender could make every mac for it.
@Suite struct ShapeTests {
  private func m1() -> [UInt8] {
    M1Datagram.encode(
      body: [UInt8](repeating: 7, count: Layout.m1BodySize), index: 1, count: 2, initiator: 1,
      cookie: [UInt8](repeating: 0, count: 16), mac1Key: [1])
  }

  private func changed(_ bytes: [UInt8], _ position: Int, _ value: UInt8) -> [UInt8] {
    var bytes = bytes
    bytes[position] = value
    return bytes
  }

  @Test func anM1OfAnotherVersionSizeCountOrPaddingIsNone() {
    let good = m1()
    #expect(M1Datagram(good) != nil)
    for (position, value) in [(0, 3), (1, 2), (2, 1), (3, 2), (4, 1), (4, 4)] as [(Int, UInt8)] {
      #expect(M1Datagram(changed(good, position, value)) == nil, "byte \(position)")
    }
    #expect(M1Datagram(changed(good, good.count - 1, 1)) == nil, "padding")
    #expect(M1Datagram(good + [0]) == nil)
    #expect(M1Datagram(good.dropLast()) == nil)
  }

  @Test func aHandshakeDatagramOfAnotherVersionSizeOrCountIsNone() {
    let ack = HandshakeDatagram.ack(3, suite: 1, receiver: 5, macKey: [1])
    #expect(HandshakeDatagram(ack) != nil)
    for (position, value) in [(0, 1), (0, 2), (0, 8), (1, 2), (3, 1), (4, 2)] as [(Int, UInt8)] {
      #expect(HandshakeDatagram(changed(ack, position, value)) == nil, "byte \(position)")
    }
    #expect(HandshakeDatagram(ack + [0]) == nil)
    #expect(HandshakeDatagram(ack.dropLast()) == nil)
  }

  @Test func aRetryNamesNoSuite() {
    func retry(_ suite: UInt8) -> HandshakeDatagram? {
      HandshakeDatagram(
        HandshakeDatagram.encode(
          .retry, suite: suite, index: 0, count: 1, receiver: 5, rest: [UInt8](repeating: 1, count: 16),
          macKey: [1]))
    }
    #expect(retry(0) != nil)
    #expect(retry(1) == nil)
  }

  private func refusal(ofM1 bytes: [UInt8]) -> DecodingFailure? {
    do throws(DecodingFailure) {
      _ = try M1Body(bytes)
      return nil
    } catch { return error }
  }

  @Test func anM1BodySaysNothingInItsReservedBytes() throws {
    let offer = try #require(KeyExchangeOffer([UInt8](repeating: 1, count: KeyExchangeOffer.size)))
    let good = M1Body(
      offer: offer, random: [UInt8](repeating: 2, count: 32), suites: [1], wantsPublicKey: true,
      receiverIndex: 1
    ).encode()
    #expect(refusal(ofM1: good) == nil)
    // Versions from 1,632 on, suites from 1,637, flags 1,642, receiver index 1,643, 17 zeros.
    #expect(refusal(ofM1: changed(good, 1_633, 2)) == .unknownVersion)
    for (position, value) in [
      (1_632, 0), (1_632, 5), (1_636, 1), (1_637, 0), (1_637, 5), (1_641, 1), (1_642, 2), (1_646, 0),
      (1_647, 1), (1_663, 1),
    ] as [(Int, UInt8)] {
      #expect(refusal(ofM1: changed(good, position, value)) == .badValue, "byte \(position)")
    }
    #expect(refusal(ofM1: changed(good, 1_638, 200)) == nil, "a suite that we don't know is skipped")
    #expect(refusal(ofM1: good + [0]) == .trailingBytes)
  }

  private func refusal(ofM2a bytes: [UInt8]) -> DecodingFailure? {
    do throws(DecodingFailure) {
      _ = try M2aBody(bytes)
      return nil
    } catch { return error }
  }

  @Test func anM2aBodySaysNothingInItsReservedBytes() throws {
    let answer = try #require(KeyExchangeAnswer([UInt8](repeating: 1, count: KeyExchangeAnswer.size)))
    let good = M2aBody(responder: 9, answer: answer, suite: .aes256GCM, receiverIndex: 1).encode()
    #expect(refusal(ofM2a: good) == nil)
    // Version 1,608, suite, zero, receiver index 1,611, nine zeros.
    #expect(refusal(ofM2a: changed(good, 1_608, 2)) == .unknownVersion)
    for (position, value) in [(1_609, 0), (1_609, 3), (1_610, 1), (1_614, 0), (1_615, 1), (1_623, 1)]
      as [(Int, UInt8)]
    {
      #expect(refusal(ofM2a: changed(good, position, value)) == .badValue, "byte \(position)")
    }
  }
}
