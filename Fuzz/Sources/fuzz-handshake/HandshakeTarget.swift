import Harness
import MeshCrypto
import MeshWire

@testable import MeshSession

/// A recorded handshake, with and without cookies, and its state before each datagram.
private struct Recordings {
  let plain = Conversation.recorded(demandsCookie: false)
  let cookie = Conversation.recorded(demandsCookie: true)
}

// why: libFuzzer calls from one thread; nothing changes it after the first call
nonisolated(unsafe) private let recordings = Recordings()

/// Begins a handshake at any of its states and lets a stranger, and whoever is on the path, change what comes
/// next; or, with 255 first, reads what its messages have within the seal.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ first: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  var input = FuzzInput(first, count)
  let choice = input.byte()
  if choice == 255 {
    readBody(input.rest())
    return 0
  }
  let recording = choice & 1 == 0 ? recordings.plain : recordings.cookie
  var conversation = recording.states[Int(choice >> 1) % recording.states.count]
  conversation.jobsLeft = 8
  var steps = 0
  while !input.isEmpty, steps < 40 {
    steps += 1
    let action = input.byte()
    let toResponder = action & 0x10 == 0
    let source = action & 0x20 == 0 ? Conversation.home : Conversation.elsewhere
    switch action % 6 {
    case 0: conversation.deliver(input.field(), toResponder: toResponder, from: source)
    case 1, 2:
      // A recorded datagram, changed, its mac made good again or not.
      guard !recording.datagrams.isEmpty else { return 0 }
      let original = recording.datagrams[Int(input.byte()) % recording.datagrams.count]
      var bytes = original.bytes
      for _ in 0..<(input.byte() & 3) {
        bytes[input.uint16() % bytes.count] ^= input.byte()
      }
      if action % 6 == 2 {
        ClearMacs.sealAny(
          &bytes, to: Conversation.responderIdentity.keyHash, random: [UInt8](repeating: 3, count: 32))
      }
      let strayed = action & 0x40 != 0
      conversation.deliver(bytes, toResponder: original.toResponder != strayed, from: source)
    case 3:
      guard !conversation.outbox.isEmpty else { continue }
      let next = conversation.outbox.removeFirst()
      conversation.deliver(next.bytes, toResponder: next.toResponder, from: Conversation.home)
    case 4: conversation.advance(by: .milliseconds(Int(input.byte()) * 50))
    default: conversation.deliverEarly(input.field(), from: source)
    }
    precondition(conversation.responders.halfOpenCount <= 1_024)
    precondition(
      conversation.strangerMayBeValidated
        || conversation.strangerReceived <= 3 * conversation.strangerSent, "3× rule broken")
  }
  return 0
}

/// The other end of a handshake says who it is as it likes.
private func readBody(_ bytes: [UInt8]) {
  guard let body = try? IdentityBody(bytes) else { return }
  precondition(body.encode() == bytes, "two encodings of one body")
}

/// Writes the seed inputs when asked to.
@_cdecl("LLVMFuzzerInitialize")
public func initialize(_: UnsafeMutableRawPointer?, _: UnsafeMutableRawPointer?) -> CInt {
  SeedCorpus.writeIfAsked {
    let through = [UInt8](repeating: 3, count: 24)
    var seeds: [(name: String, bytes: [UInt8])] = [
      ("whole", [0] + through), ("whole-with-cookie", [1] + through),
      ("with-resends", [0] + (0..<10).flatMap { _ in [UInt8(3), 4, 20] }),
      ("stranger-replays-m1", [0, 0x21, 0, 0, 0x21, 1, 0, 4, 20, 0x21, 0, 0]),
      ("silence", [0] + (0..<30).flatMap { _ in [UInt8(4), 100] }),
    ]
    for number in UInt8(0)..<12 {
      seeds.append(("changed-\(number)", [number << 1, 2, number, 2, 0, 40, 1, 0, 3, 1] + through))
    }
    let key = Conversation.initiatorIdentity
    for (name, publicKey) in [("identity", nil), ("identity-with-key", key.publicKey)] {
      let body = IdentityBody(
        keyHash: key.keyHash, signature: [UInt8](repeating: 1, count: Layout.signatureSize),
        finished: [UInt8](repeating: 2, count: Layout.finishedSize), publicKey: publicKey)
      seeds.append((name, [255] + body.encode()))
    }
    seeds.append(("raw", [0, 0] + [UInt8](repeating: 2, count: 64).asField))
    return seeds
  }
  return 0
}
