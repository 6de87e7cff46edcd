import Harness
import MeshPaths
import MeshWire

private let start = Instant(nanoseconds: 1 << 50)

private func endpoint(_ text: String) -> Endpoint {
  guard let endpoint = Endpoint(text) else { preconditionFailure("\(text) is an endpoint") }
  return endpoint
}

private let servers = [endpoint("198.51.100.1:3478"), endpoint("[2001:db8::1]:3478")]
private let transaction: STUNTransaction = {
  guard let transaction = STUNTransaction(Array(0..<12)) else { preconditionFailure("12 bytes") }
  return transaction
}()

/// By the first byte: 0 a datagram as it is, 1 attributes behind a good header, 2 requests for a server, else
/// what a client's servers say.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ first: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  var input = FuzzInput(first, count)
  switch input.byte() % 4 {
  case 0: read(input.rest())
  case 1: read(message(.success, transaction, attributes: input.rest()))
  case 2: serve(&input)
  default: detect(&input)
  }
  return 0
}

/// A message whose header holds, whatever its attributes are.
private func message(
  _ messageClass: STUNMessage.Class, _ transaction: STUNTransaction, attributes: [UInt8]
) -> [UInt8] {
  var bytes = STUNMessage(messageClass, transaction).encoded
  let size = min(attributes.count & ~3, 1_200)
  bytes[2] = UInt8(size >> 8)
  bytes[3] = UInt8(size & 255)
  return bytes + attributes.prefix(size)
}

/// What is read can be written and is read the same again.
private func read(_ bytes: [UInt8]) {
  guard let message = try? STUNMessage(decoding: bytes) else { return }
  precondition(bytes.count <= STUNMessage.sizeLimit && STUNMessage.hasCookie(bytes.span))
  let again = message.encoded
  // Text that was no UTF-8 has grown by its repair.
  guard let reread = try? STUNMessage(decoding: again) else {
    precondition(again.count > bytes.count, "our own message is refused")
    return
  }
  precondition(reread.transaction == message.transaction && reread.method == message.method)
  precondition(reread.mappedEndpoint == message.mappedEndpoint)
  precondition(reread.unknownRequiredTypes == message.unknownRequiredTypes)
}

private func serve(_ input: inout FuzzInput) {
  guard let first = IPAddress("198.51.100.1"), let second = IPAddress("198.51.100.2") else { return }
  var responder = STUNResponder(v4: STUNResponder.Addresses(first, second, ports: 3_478, 3_479))
  var now = start
  var sent = 0
  while !input.isEmpty {
    let choice = input.byte()
    now = now + .milliseconds(Int(choice >> 4))
    let source = choice & 1 == 0 ? endpoint("203.0.113.9:4000") : endpoint("[2001:db8:9::9]:4000")
    let socket = STUNSocket(usesOtherAddress: choice & 2 != 0, usesOtherPort: choice & 4 != 0)
    let request = choice & 8 == 0 ? message(.request, transaction, attributes: input.field()) : input.field()
    guard let answer = responder.answer(request, from: source, at: socket, now: now) else { continue }
    sent += 1
    precondition(answer.bytes.count <= 3 * request.count)
    guard let read = try? STUNMessage(decoding: answer.bytes), let asked = try? STUNMessage(decoding: request)
    else { preconditionFailure("an answer to nothing, or one that nobody reads") }
    precondition(read.transaction == asked.transaction)
    precondition(read.messageClass == .success || read.messageClass == .failure)
  }
  precondition(sent == responder.counters.answered + responder.counters.refused)
}

private func detect(_ input: inout FuzzInput) {
  let local = endpoint("192.168.1.2:40000")
  var detection = NATDetection()
  let question = NATDetection.Question(
    servers: servers, localAddresses: [local.address], localPort: local.port)
  detection.start(question, random: Array(repeating: 0x5a, count: NATDetection.randomSize), now: start)
  var now = start
  var outgoing: [STUNSend] = []
  for _ in 0..<10_000 {
    var sends: [STUNSend] = []
    defer { precondition(sends.allSatisfy { $0.to.isDialable }, "sent to where nobody should") }
    if let findings = detection.advance(to: now, into: &sends) { return check(findings, outgoing + sends) }
    outgoing += sends
    if !input.isEmpty, !outgoing.isEmpty {
      let choice = input.byte()
      let asked = outgoing[Int(input.byte()) % outgoing.count]
      guard let request = try? STUNMessage(decoding: asked.bytes) else {
        preconditionFailure("our own request")
      }
      let source = choice & 1 == 0 ? asked.to : Endpoint(asked.to.address, port: 3_479)
      let answerClass = STUNMessage.Class.allCases[Int(choice >> 1 & 3)]
      let bytes = message(answerClass, request.transaction, attributes: input.field())
      var more: [STUNSend] = []
      if case .finished(let findings) = detection.receive(bytes, from: source, now: now, into: &more) {
        return check(findings, outgoing + more)
      }
      precondition(more.allSatisfy { $0.to.isDialable }, "sent to where nobody should")
      outgoing += more
      now = now + .milliseconds(Int(choice >> 4))
    } else if let deadline = detection.nextDeadline {
      now = max(now, deadline)
    }
  }
  preconditionFailure("the detection does not end")
}

private func check(_ findings: NATFindings, _ sends: [STUNSend]) {
  precondition(findings.took <= NATDetection.limit + .milliseconds(16))
  // Two servers, and five tests for each family, of at most seven tries.
  precondition(sends.count <= 12 * 7)
  precondition(findings.reflexiveEndpoints.allSatisfy(\.isDialable))
  precondition(!findings.meaning.isEmpty)
}

/// Writes the seed inputs when asked to.
@_cdecl("LLVMFuzzerInitialize")
public func initialize(_: UnsafeMutableRawPointer?, _: UnsafeMutableRawPointer?) -> CInt {
  SeedCorpus.writeIfAsked {
    let mapped = endpoint("203.0.113.5:40000")
    let success = STUNMessage(
      .success, transaction,
      attributes: [
        .xorMappedAddress(mapped), .mappedAddress(mapped), .otherAddress(endpoint("198.51.100.2:3479")),
        .responseOrigin(servers[0]), .software("seed"),
      ], hasFingerprint: true
    ).encoded
    let failure = STUNMessage(
      .failure, transaction,
      attributes: [.errorCode(420, reason: "Unknown Attribute"), .unknownAttributes([3])]
    ).encoded
    let change = STUNMessage(
      .request, transaction, attributes: [.changeRequest(address: true, port: true)], hasFingerprint: true
    ).encoded
    let attributes = Array(
      STUNMessage(
        .success, transaction,
        attributes: [.mappedAddress(mapped), .otherAddress(endpoint("198.51.100.2:3479"))]
      ).encoded.dropFirst(STUNMessage.headerSize))
    var talk: [UInt8] = [3]
    for index: UInt8 in [0, 2, 4, 6, 8, 10] { talk += [4 | index & 1, index] + attributes.asField }
    return [
      ("success", [0] + success), ("failure", [0] + failure), ("request", [0] + change),
      ("attributes", [1] + attributes), ("serve", [2, 8] + change.asField + [13] + change.asField),
      ("detect", talk),
    ]
  }
  return 0
}
