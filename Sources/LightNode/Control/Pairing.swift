import ControlAPI
import Logging
import MeshCrypto
import MeshNode
import MeshWire
import NodeHost

/// `invite` and `join`: one pasted line makes two nodes peers of each other.
extension ControlDesk {
  /// How long a join waits for the inviter to have added this node, once the invitation was accepted.
  static let confirmation: Duration = .seconds(10)

  func invite(name: PeerName?, expires: UInt64, allow: [PortRule]) async throws -> InviteReport {
    guard (1...ControlRequest.maximumInviteLife).contains(expires) else {
      throw ControlFailure(
        .badRequest, "an invitation holds for at most \(ControlRequest.maximumInviteLife / 86_400) days")
    }
    try Self.check(allow)
    var random = SystemRandomNumberGenerator()
    let secret = (0..<InviteLine.secretSize).map { _ in UInt8.random(in: .min ... .max, using: &random) }
    let now = await session.wallNow
    let expiry = WallTime(secondsSinceEpoch: now.secondsSinceEpoch + expires)
    try await membership.invite(
      secretHash: InviteLine.hash(ofSecret: secret), name: name, allow: allow, expires: expiry, now: now)
    let configuration = configuration.current
    let endpoints = await publisher.report()?.endpoints.compactMap { Endpoint($0) } ?? []
    let line = InviteLine(
      keyHash: identity, secret: secret, expiry: expiry, backboneKey: configuration.backboneKey,
      backboneURL: configuration.backboneURL ?? "", region: configuration.region.name, endpoints: endpoints)
    logger.notice("invitation made", metadata: ["expires": "\(expiry.secondsSinceEpoch)"])
    return InviteReport(line: line.text, expires: expiry.secondsSinceEpoch, name: name)
  }

  func join(_ text: String, name: PeerName?, allow: [PortRule]) async throws -> JoinReport {
    let line = try Self.read(text)
    guard line.expiry > (await session.wallNow) else {
      throw ControlFailure(
        .expired, "the invitation has expired", next: "ask for a new one (or check this machine's clock)")
    }
    guard line.keyHash != identity else {
      throw ControlFailure(
        .refused, "that is this node's own invitation", next: "run `shadowmesh join` on the other node")
    }
    try Self.check(allow)
    let peerID = line.keyHash.peerID
    let before = await membership.entry(peerID)
    guard let chosen = await chosenName(name, for: peerID, before: before) else {
      throw ControlFailure(.conflict, "no free name was found", next: "choose one with --name")
    }
    try await membership.introduce(chosen, peerID, keyHash: line.keyHash, endpoints: line.endpoints)
    do {
      try await redeem(line, at: peerID)
      // As they are by now: who was removed meanwhile comes back without the old permissions.
      let rules = allow.isEmpty ? await membership.entry(peerID)?.allow ?? [] : allow
      try await membership.add(
        chosen, peerID, keyHash: line.keyHash, allow: rules, endpoints: line.endpoints)
      await membership.endIntroduction(of: peerID)
    } catch {
      // Nothing was stored: a failed join leaves neither a half-added peer nor a pinned key behind.
      await membership.withdraw(peerID)
      throw error
    }
    let isConfirmed = await waitUntilAdded(by: peerID)
    logger.notice("joined", metadata: ["peer.id": "\(peerID)", "peer.name": "\(chosen)"])
    return JoinReport(
      name: chosen, peerID: peerID.description, keyHash: line.keyHash.description,
      address: OverlayAddress(of: peerID).description, confirmed: isConfirmed)
  }

  private func chosenName(_ name: PeerName?, for peerID: PeerID, before: PeerBook.Entry?) async -> PeerName? {
    if let name { return name }
    if let before { return before.name }
    return await membership.freeName(for: peerID)
  }

  private func redeem(_ line: InviteLine, at peerID: PeerID) async throws {
    let id = try await loop.perform { node, now, _ in
      node.redeemInvitation(at: peerID, secret: line.secret, now: now)
    }
    let answer = await reader.invitations.outcome(of: id, within: Self.patience + .seconds(5))
    if let failure = Self.failure(answer ?? .unanswered, tried: line.endpoints) { throw failure }
  }

  /// What whoever joins is told; `nil` when the invitation was accepted.
  static func failure(_ answer: InviteAnswer, tried endpoints: [Endpoint]) -> ControlFailure? {
    switch answer {
    case .accepted: return nil
    case .refused:
      return ControlFailure(
        .refused, "the other node refused the invitation: it has been used, or has expired there",
        next: "ask for a new one")
    case .unanswered:
      let tried = endpoints.map(\.description).joined(separator: ", ")
      return ControlFailure(
        .timedOut, "the node that invited did not answer (tried \(tried.isEmpty ? "no address" : tried))",
        next: "is its daemon running, and can its UDP port be reached from here?")
    }
  }

  /// The inviter takes us into its peer book a moment after its answer. Waits for that, but not for long: the
  /// invitation is spent either way. Returns whether it has.
  private func waitUntilAdded(by peerID: PeerID) async -> Bool {
    let deadline = ContinuousClock.now + Self.confirmation
    while ContinuousClock.now < deadline {
      guard let id = try? await loop.perform({ node, now, _ in node.ping(peerID, now: now) }) else { break }
      if case .answered(_, _, _, true)? = await reader.pings.outcome(of: id, within: .seconds(5)) {
        return true
      }
      do { try await Task.sleep(for: .milliseconds(50)) } catch { break }
    }
    return false
  }

  static func read(_ text: String) throws(ControlFailure) -> InviteLine {
    do {
      return try InviteLine(text)
    } catch {
      switch error {
      case .notAnInvitation:
        throw ControlFailure(
          .badRequest, "that is not an invitation",
          next: "paste the whole line, from \(InviteLine.prefix) to its end")
      case .mistyped:
        throw ControlFailure(
          .badRequest, "the invitation is incomplete or mistyped: its checksum does not hold",
          next: "copy the whole line again")
      }
    }
  }
}
