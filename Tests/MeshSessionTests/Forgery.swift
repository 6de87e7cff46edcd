import MeshCrypto
import MeshWire

@testable import MeshSession

/// A responder that answers by hand, so that each part of an M2 can be made wrong.
struct ForgedResponder {
  var identity = Identities.bob
  /// Whose identity it claims.
  var claims = Identities.bob.publicKey
  var context = SignatureContext.handshakeResponder
  var finished: ([UInt8]) -> [UInt8] = { $0 }
  var exchange: (KeyExchangeAnswer) -> KeyExchangeAnswer = { $0 }
  var bodyKeyHash: KeyHash?

  /// M2a and M2b for the M1 in `datagrams`.
  func answer(_ datagrams: [[UInt8]]) throws -> [[UInt8]] {
    let parts = datagrams.compactMap { M1Datagram($0) }
    let body = Array(parts.flatMap { Array($0.fragment) }[..<Layout.m1BodySize])
    let m1 = try M1Body(body)
    let made = try KeyExchangeSecret.answer(m1.offer)
    let m2a = M2aBody(
      responder: 77, answer: exchange(made.answer), suite: .aes256GCM, receiverIndex: 99
    ).encode()
    let schedule = KeySchedule(
      initiatorID: parts[0].initiator, responder: Identities.bob.keyHash, m1: body, m2a: m2a,
      shared: made.secret)
    let th2 = schedule.th2(responder: claims)
    let signature = try identity.sign(th2, context: context)
    let th3 = schedule.th3(th2, signature: signature)
    let m2b = IdentityBody(
      keyHash: bodyKeyHash ?? claims.keyHash, signature: signature,
      finished: finished(schedule.responderFinished(th3)), publicKey: m1.wantsPublicKey ? claims : nil)
    let macKey = Macs.clearKey(random: m1.random)
    return OutgoingFragments.clear(
      .m2a, m2a, suite: 1, receiver: parts[0].initiator, macKey: macKey
    ).datagrams
      + OutgoingFragments.sealed(
        .m2b, m2b.encode(), suite: .aes256GCM, receiver: parts[0].initiator,
        key: AEADKey(.aes256GCM, key: schedule.responderKey)
      ).datagrams
  }
}

/// An initiator's M3 made by hand, so that each part of it can be made wrong.
struct ForgedM3 {
  var identity = Identities.alice
  var context = SignatureContext.handshakeInitiator
  var claims = Identities.alice.publicKey
  var sentKey: IdentityPublicKey? = Identities.alice.publicKey
  var bodyKeyHash: KeyHash?
  var finished: ([UInt8]) -> [UInt8] = { $0 }

  /// Takes the place of the M3 that the initiator of `world` would send.
  func deliver(to world: World) {
    world.alice.tamper = { [self] job, result in
      guard case .sign = job, case .signing(let verified, _) = world.alice.initiator?.phase else {
        return result
      }
      let schedule = verified.schedule
      let th4 = schedule.th4(
        verified.th3, responderFinished: verified.finished, initiator: claims,
        responder: Identities.bob.keyHash)
      guard let signature = try? identity.sign(th4, context: context) else { return .failed }
      let th5 = schedule.th5(th4, signature: signature)
      let body = IdentityBody(
        keyHash: bodyKeyHash ?? claims.keyHash, signature: signature,
        finished: finished(schedule.initiatorFinished(th5)), publicKey: sentKey)
      let m3 = OutgoingFragments.sealed(
        .m3, body.encode(), suite: .aes256GCM, receiver: verified.body.responder,
        key: AEADKey(.aes256GCM, key: schedule.initiatorKey))
      for datagram in m3.datagrams { world.alice.outbox.append((datagram, world.bob.endpoint)) }
      return .failed
    }
    world.begin()
    world.run(for: .seconds(2))
  }
}
