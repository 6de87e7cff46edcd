import Kademlia
import MeshCrypto
import MeshPaths
import MeshSession
package import MeshWire

extension MeshNode {
  /// Most control messages that wait for one neighbour's session.
  static let queuedControl = 16
  /// How often a peer that has not added us is asked whether it has by now.
  static let askAgain: Duration = .seconds(60)

  /// Sends inside the session, or waits for one.
  mutating func sendControl(_ message: ControlMessage, slot: Int, now: Instant) {
    neighbours.entries[slot].lastUsed = now
    guard neighbours.entries[slot].current != nil else {
      guard neighbours.entries[slot].controlQueue.count < Self.queuedControl else {
        return counters.count(.queueFull)
      }
      neighbours.entries[slot].controlQueue.append(message)
      return
    }
    // An answer is not answered: whoever gives many would check the path after each.
    if message.callsForAnswer { neighbours.entries[slot].paths.sent(now: now) }
    let result = neighbours.entries[slot].current!.session.send(
      control: message.encoded, now: now, into: &sessionActions)
    if case .failure = result { counters.count(.noSession) }
    performSessionActions(slot, current: true, now)
  }

  mutating func receiveControl(_ bytes: [UInt8], slot: Int, now: Instant) {
    carryWall(to: now)
    let message: ControlMessage
    do { message = try ControlMessage(decoding: bytes) } catch {
      return counters.count(.controlMalformed)
    }
    neighbours.entries[slot].lastUsed = now
    switch message {
    // A backbone speaks for many: what it passes on is counted for whom it speaks for.
    case .introduction, .introductionFailed: serveIntroduction(message, slot: slot, now: now)
    case .ping, .findNode, .getRecord, .redeemInvite, .announce, .observe, .candidates, .introduce, .reserve,
      .createCircuit:
      guard neighbours.entries[slot].requests.take(now: now) else {
        return counters.count(.controlOverBudget)
      }
      serve(message, slot: slot, now: now)
    case .pong, .nodes, .record, .inviteAnswer, .observed, .reserved:
      takeAnswer(message, slot: slot, now: now)
    case .circuitClosed(let circuit, let end): circuitClosed(circuit, end, slot: slot, now: now)
    }
  }

  private mutating func serve(_ message: ControlMessage, slot: Int, now: Instant) {
    switch message {
    case .ping(let id):
      sendControl(.pong(id, peerAdded: neighbours.entries[slot].isPeer), slot: slot, now: now)
    case .findNode(let id, let target):
      sendControl(
        .nodes(id, hints(near: target, for: neighbours.entries[slot].peerID)), slot: slot, now: now)
    case .getRecord(let id, let target):
      let bundle = recordToHandOut(target, to: neighbours.entries[slot].keyHash)
      sendControl(.record(id, bundle.map { .init(bundle: $0) }), slot: slot, now: now)
    case .redeemInvite(let id, let secret): redeem(id, secret, slot: slot, now: now)
    case .announce(let record): takeAnnouncement(record, slot: slot, now: now)
    case .observe, .candidates, .introduce, .introduction, .introductionFailed:
      serveIntroduction(message, slot: slot, now: now)
    case .reserve(let id): serveReservation(id, slot: slot, now: now)
    case .createCircuit(let circuit, let layer): serveCreate(circuit, layer, slot: slot, now: now)
    case .pong, .nodes, .record, .inviteAnswer, .observed, .reserved, .circuitClosed: break
    }
  }

  /// The nearest contacts that this asker may know of: who may not be named takes nobody else's place.
  func hints(near target: PeerID, for asker: PeerID) -> [ContactHint] {
    table.closest(to: target, count: table.count).lazy
      .filter { $0.peerID != asker && mayName($0.peerID, to: asker) }
      .prefix(ControlMessage.hintLimit).map(\.hint)
  }

  /// A private node's endpoint goes only to whom it admitted; hints hold endpoints.
  private func mayName(_ peerID: PeerID, to asker: PeerID) -> Bool {
    guard let known = records.lastKnown(peerID) else { return false }
    // A public node has told everyone where it is; a hint says no more after the record has expired.
    if known.body.serviceType != .lightPrivate { return true }
    guard let slot = neighbours.slot(asker), let keyHash = neighbours.entries[slot].keyHash else {
      return false
    }
    return records.record(peerID, at: wall)?.privatePart?.admits(keyHash) ?? false
  }

  private func recordToHandOut(_ target: PeerID, to asker: KeyHash?) -> [UInt8]? {
    let record = target == ownPeerID ? ownRecord : records.record(target, at: wall)
    guard let record, let asker else { return nil }
    return (record.admits(asker) ? record : record.withoutPrivatePart).bundle
  }

  private mutating func takeAnswer(_ message: ControlMessage, slot: Int, now: Instant) {
    let peerID = neighbours.entries[slot].peerID
    switch message {
    case .pong(let id, let peerAdded):
      neighbours.entries[slot].addedUs = peerAdded
      neighbours.entries[slot].askAgainAt = peerAdded ? nil : now + Self.askAgain
      _ = table.seen(peerID, now: now)
      guard let request = requests.take(id, from: peerID), case .ping(let ping) = request.kind else { return }
      pongArrived(ping, roundTrip: now - request.sentAt, slot: slot)
    case .nodes(let id, let hints):
      guard let request = requests.take(id, from: peerID), case .findNode(let lookup) = request.kind else {
        return counters.count(.controlMalformed)
      }
      lookups.answered(lookup, from: peerID, hints: hints, now: now)
      advance(lookup, now: now)
    case .record(let id, let record):
      switch requests.take(id, from: peerID)?.kind {
      case .getRecord(let lookup): if let record { takeFetched(record, for: lookup, from: peerID) }
      case .contactRecord: if let record { takeContactRecord(record, from: slot) }
      default: counters.count(.controlMalformed)
      }
    case .inviteAnswer(let id, let accepted):
      guard let request = requests.take(id, from: peerID), case .redeemInvite(let redemption) = request.kind
      else { return counters.count(.controlMalformed) }
      // A late answer to another secret says nothing about this one.
      guard neighbours.entries[slot].redeeming?.id == redemption else { return }
      neighbours.entries[slot].redeeming = nil
      emit(.inviteAnswered(redemption, accepted ? .accepted : .refused))
    case .observed(let id, let endpoint): takeObservation(id, endpoint, slot: slot, now: now)
    case .reserved(let id, let grant): takeReservation(id, grant, slot: slot, now: now)
    case .ping, .findNode, .getRecord, .redeemInvite, .announce, .observe, .candidates, .introduce,
      .introduction, .introductionFailed, .reserve, .createCircuit, .circuitClosed:
      break
    }
  }
}

extension MeshNode {
  /// Sends a control message that no rule of this node would send: what a liar in the simulator and in tests
  /// says.
  package mutating func say(_ message: ControlMessage, to peer: PeerID, now: Instant) {
    guard let slot = neighbours.slot(peer) else { return }
    sendControl(message, slot: slot, now: now)
  }
}
