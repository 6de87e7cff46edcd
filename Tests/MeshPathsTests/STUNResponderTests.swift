import MeshPaths
import MeshWire
import Testing

@Suite struct STUNResponderTests {
  private static let start = Instant(nanoseconds: 1_000_000_000)
  private static let v4 = STUNResponder.Addresses(
    IPAddress("198.51.100.1")!, IPAddress("198.51.100.2")!, ports: 3_478, 3_479)
  private static let v6 = STUNResponder.Addresses(
    IPAddress("2001:db8::1")!, IPAddress("2001:db8::2")!, ports: 3_478, 3_479)
  private let transaction = STUNTransaction(Array(0..<12))!

  private func request(_ attributes: [STUNAttribute] = [], fingerprint: Bool = false) -> [UInt8] {
    STUNMessage(.request, transaction, attributes: attributes, hasFingerprint: fingerprint).encoded
  }

  private func ask(
    _ responder: inout STUNResponder, _ bytes: [UInt8], from source: String = "203.0.113.9:4000",
    at socket: STUNSocket = STUNSocket(), now: Instant = start
  ) throws -> (STUNMessage, STUNSocket)? {
    guard let answer = responder.answer(bytes, from: Endpoint(source)!, at: socket, now: now) else {
      return nil
    }
    #expect(answer.bytes.count <= 3 * bytes.count)
    return (try STUNMessage(decoding: answer.bytes), answer.from)
  }

  @Test func `a plain request learns where it came from and where else to ask`() throws {
    var responder = STUNResponder(v4: Self.v4, v6: Self.v6)
    let (answer, from) = try #require(try ask(&responder, request([.software("long enough for all")])))
    #expect(from == STUNSocket())
    #expect(answer.messageClass == .success && answer.transaction == transaction)
    #expect(
      answer.attributes == [
        .xorMappedAddress(Endpoint("203.0.113.9:4000")!), .otherAddress(Endpoint("198.51.100.2:3479")!),
        .responseOrigin(Endpoint("198.51.100.1:3478")!), .mappedAddress(Endpoint("203.0.113.9:4000")!),
      ])
    let (small, _) = try #require(try ask(&responder, request()))
    #expect(small.attributes.count == 3, "20 bytes pay for 60")
    let (six, _) = try #require(
      try ask(&responder, request([.software("ShadowMesh STUN")]), from: "[2001:db8:9::9]:4000"))
    #expect(six.otherEndpoint == Endpoint("[2001:db8::2]:3479"))
    #expect(six.attributes.count == 4)
  }

  @Test(arguments: [false, true], [false, true])
  func `the answer comes from where it was asked for`(address: Bool, port: Bool) throws {
    for socket in [STUNSocket(), STUNSocket(usesOtherAddress: true, usesOtherPort: true)] {
      var responder = STUNResponder(v4: Self.v4)
      let bytes = request([.changeRequest(address: address, port: port)])
      let (answer, from) = try #require(try ask(&responder, bytes, at: socket))
      #expect(from.usesOtherAddress == (socket.usesOtherAddress != address))
      #expect(from.usesOtherPort == (socket.usesOtherPort != port))
      let origin = Endpoint(
        from.usesOtherAddress ? Self.v4.second : Self.v4.first, port: from.usesOtherPort ? 3_479 : 3_478)
      #expect(answer.attributes.contains(.responseOrigin(origin)))
      // OTHER-ADDRESS is opposite to where the request went, whatever it asked for.
      #expect(answer.otherEndpoint?.port == (socket.usesOtherPort ? 3_478 : 3_479))
    }
  }

  @Test func `without a second address it refuses to change`() throws {
    var responder = STUNResponder()
    let (answer, _) = try #require(
      try ask(&responder, request([.changeRequest(address: true, port: false)])))
    #expect(answer.messageClass == .failure)
    #expect(answer.attributes.contains(.unknownAttributes([STUNAttributeType.changeRequest])))
    let (plain, _) = try #require(
      try ask(&responder, request([.changeRequest(address: false, port: false)])))
    #expect(plain.messageClass == .success)
    #expect(responder.counters.refused == 1 && responder.counters.answered == 1)
  }

  @Test func `what must be understood and isn't is named in an error`() throws {
    var responder = STUNResponder(v4: Self.v4)
    let strange: [STUNAttribute] = [
      .raw(type: 0x0026, value: [1, 2, 3, 4]), .raw(type: 0x7777, value: []), .raw(type: 0x8777, value: []),
      .raw(type: 0x0006, value: [65]),
    ]
    let (answer, _) = try #require(try ask(&responder, request(strange, fingerprint: true)))
    #expect(answer.messageClass == .failure && answer.hasFingerprint)
    #expect(answer.attributes.first == .errorCode(420, reason: "Unknown Attribute"))
    #expect(answer.attributes.last == .unknownAttributes([0x0026, 0x7777]))
    let (smallest, _) = try #require(try ask(&responder, request([.raw(type: 0x7777, value: [])])))
    #expect(smallest.messageClass == .failure)
  }

  @Test func `responses, indications and other methods get no answer`() throws {
    var responder = STUNResponder(v4: Self.v4)
    for messageClass in [STUNMessage.Class.success, .failure, .indication] {
      #expect(try ask(&responder, STUNMessage(messageClass, transaction).encoded) == nil)
    }
    #expect(try ask(&responder, STUNMessage(.request, method: 3, transaction).encoded) == nil)
    #expect(try ask(&responder, []) == nil)
    #expect(try ask(&responder, Array(request()[..<19])) == nil)
    #expect(responder.counters.malformed == 6)
  }

  @Test func `a network gets its share and no more, and others theirs`() throws {
    var responder = STUNResponder(v4: Self.v4)
    var answered = 0
    for host in 0..<250 where try ask(&responder, request(), from: "203.0.113.\(host):4000") != nil {
      answered += 1
    }
    #expect(answered == 2 * STUNResponder.answersPerSecond)
    #expect(responder.counters.limited == 250 - answered)
    #expect(try ask(&responder, request(), from: "203.0.114.1:4000") != nil)
    let later = Self.start + .milliseconds(1_000 / STUNResponder.answersPerSecond)
    #expect(try ask(&responder, request(), now: later) != nil)
    #expect(try ask(&responder, request(), now: later) == nil)
  }

  @Test func `networks are forgotten once they have their share again`() throws {
    var responder = STUNResponder(v4: Self.v4)
    func ask(_ network: Int, _ now: Instant) -> STUNAnswer? {
      let source = Endpoint(.v4(0x0b00_0000 + UInt32(network) << 8), port: 1)
      return responder.answer(request(), from: source, now: now)
    }
    for network in 0..<STUNResponder.networkLimit { #expect(ask(network, Self.start) != nil) }
    #expect(ask(STUNResponder.networkLimit, Self.start) == nil)
    #expect(responder.counters.limited == 1)
    #expect(ask(STUNResponder.networkLimit, Self.start + .seconds(2)) != nil)
  }
}
