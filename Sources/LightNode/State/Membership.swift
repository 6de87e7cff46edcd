import ControlAPI
import Logging
import MeshCrypto
import MeshNode
import MeshWire

/// Where the peer book's changes take effect: the running node, or a stand-in for tests.
protocol PeerTable: Sendable {
  func add(_ entry: PeerEntry) async throws
  func remove(_ peerID: PeerID) async throws
  /// Returns the index that `.inviteRedeemed` repeats; `nil` when the node has no room.
  func addInvitation(secretHash: [UInt8], expires: WallTime) async throws -> Int?
}

/// The peer book and the open invitations: in memory, on the disk, and in the node, in step.
actor Membership {
  private let table: any PeerTable
  private let folder: StateFolder
  private let logger: Logger
  private var book: PeerBook
  private var ledger: InviteLedger
  private var inviteHashes: [Int: [UInt8]] = [:]
  private var hasUnsavedEndpoints = false
  /// Called after a change of who is admitted.
  private var onChange: @Sendable () -> Void = {}

  init(book: PeerBook, ledger: InviteLedger, table: any PeerTable, folder: StateFolder, logger: Logger) {
    self.book = book
    self.ledger = ledger
    self.table = table
    self.folder = folder
    self.logger = logger
  }

  func notifyChange(_ body: @escaping @Sendable () -> Void) { onChange = body }

  var entries: [PeerBook.Entry] { book.entries }
  /// Every pinned KeyHash, sorted.
  var admitted: [KeyHash] { book.entries.compactMap(\.keyHash).sorted() }

  func entry(_ name: PeerName) -> PeerBook.Entry? { book[name] }
  func entry(_ peerID: PeerID) -> PeerBook.Entry? { book[peerID] }
  func freeName(for peerID: PeerID) -> PeerName? { book.freeName(for: peerID) }

  /// Gives the node every invitation that is still open; its peers it got before it began.
  func restoreInvitations(now: WallTime) async throws {
    for entry in ledger.entries where entry.expires > now.secondsSinceEpoch {
      guard let hash = [UInt8](hex: entry.secretHash) else { continue }
      let expires = WallTime(secondsSinceEpoch: entry.expires)
      if let index = try await table.addInvitation(secretHash: hash, expires: expires) {
        inviteHashes[index] = hash
      }
    }
  }

  /// Adds or changes a peer everywhere, or nowhere. Throws ``ControlFailure``.
  @discardableResult
  func add(
    _ name: PeerName, _ peerID: PeerID, keyHash: KeyHash? = nil, publicKey: IdentityPublicKey? = nil,
    allow: [PortRule], endpoints: [Endpoint] = []
  ) async throws -> PeerBook.Entry {
    let before = book[peerID]
    var entry: PeerBook.Entry
    do {
      entry = try book.add(name, peerID, keyHash: keyHash, allow: allow, endpoints: endpoints)
      if let publicKey {
        _ = try book.learned(publicKey.keyHash, publicKey: publicKey.bytes, endpoints: [])
        entry = book[peerID] ?? entry
      }
    } catch {
      throw ControlFailure(.conflict, error.description, next: error.next)
    }
    do {
      try await table.add(PeerEntry(entry))
      try save()
    } catch {
      book.restore(peerID, before)
      if let before { try? await table.add(PeerEntry(before)) } else { try? await table.remove(peerID) }
      throw Self.failure(error)
    }
    onChange()
    return entry
  }

  /// Removes a peer everywhere. Throws ``ControlFailure``.
  func remove(_ name: PeerName) async throws -> PeerBook.Entry {
    let entry: PeerBook.Entry
    do { entry = try book.remove(name) } catch {
      throw ControlFailure(.notFound, error.description, next: error.next)
    }
    do {
      try save()
    } catch {
      book.restore(entry.peerID, entry)
      throw Self.failure(error)
    }
    try await table.remove(entry.peerID)
    onChange()
    return entry
  }

  /// Notes a verified identity behind a peer, for good.
  func pin(_ publicKey: IdentityPublicKey) {
    do {
      guard try book.learned(publicKey.keyHash, publicKey: publicKey.bytes, endpoints: []) else { return }
      try save()
      onChange()
    } catch {
      logger.error(
        "a peer's identity could not be pinned",
        metadata: ["peer.id": "\(publicKey.keyHash.peerID)", "reason": "\(error)"])
    }
  }

  /// Notes where a peer was reached: first in its list from now on. Saved with the next change, or at the
  /// end.
  func reached(_ peerID: PeerID, at endpoint: Endpoint) {
    guard let entry = book[peerID], let keyHash = entry.keyHash, entry.endpoints.first != endpoint else {
      return
    }
    let others = entry.endpoints.filter { $0 != endpoint }
    if (try? book.learned(keyHash, publicKey: nil, endpoints: [endpoint] + others)) == true {
      hasUnsavedEndpoints = true
    }
  }

  /// Writes what was put off.
  func saveEndpoints() {
    guard hasUnsavedEndpoints else { return }
    do { try save() } catch {
      logger.error("the peer book could not be saved", metadata: ["reason": "\(error)"])
    }
  }

  /// Opens an invitation. Throws ``ControlFailure``.
  func invite(
    secretHash: [UInt8], name: PeerName?, allow: [PortRule], expires: WallTime, now: WallTime
  ) async throws {
    if let name, let other = book[name] {
      let refusal = PeerBook.Refusal.nameTaken(name, by: other.peerID)
      throw ControlFailure(.conflict, refusal.description, next: refusal.next)
    }
    let before = ledger
    let entry = InviteLedger.Entry(
      secretHash: secretHash.hex, name: name, allow: allow, expires: expires.secondsSinceEpoch)
    let full = ControlFailure(
      .busy, "\(InviteLedger.maximumInvites) invitations are open already",
      next: "wait until one expires or is used")
    guard ledger.add(entry, now: now) else { throw full }
    do {
      try folder.write(ledger)
      guard let index = try await table.addInvitation(secretHash: secretHash, expires: expires) else {
        throw full
      }
      inviteHashes[index] = secretHash
    } catch {
      ledger = before
      try? folder.write(ledger)
      throw Self.failure(error)
    }
  }

  /// Someone proved knowledge of invitation `index`: it is spent on the disk first, then they are a peer.
  func redeemed(index: Int, by publicKey: IdentityPublicKey, at endpoint: Endpoint, now: WallTime) async {
    let peerID = publicKey.keyHash.peerID
    guard let hash = inviteHashes.removeValue(forKey: index),
      let invite = ledger.redeem(secretHash: hash, now: now)
    else {
      logger.warning("an invitation that is not open was redeemed", metadata: ["peer.id": "\(peerID)"])
      return
    }
    do {
      try folder.write(ledger)
      let known = book[peerID]
      let wanted = invite.name.flatMap { book[$0] == nil ? $0 : nil }
      guard let name = known?.name ?? wanted ?? book.freeName(for: peerID) else { return }
      try await add(
        name, peerID, keyHash: publicKey.keyHash, publicKey: publicKey, allow: invite.allow,
        endpoints: [endpoint])
      logger.notice("an invitation was redeemed", metadata: ["peer.id": "\(peerID)", "peer.name": "\(name)"])
    } catch {
      logger.error(
        "who redeemed an invitation could not be added",
        metadata: ["peer.id": "\(peerID)", "reason": "\(error)"])
    }
  }

  private func save() throws {
    try folder.write(book)
    hasUnsavedEndpoints = false
  }

  private static func failure(_ error: any Error) -> ControlFailure {
    switch error {
    case let failure as ControlFailure: failure
    case let refusal as PeerRefusal:
      ControlFailure(
        .conflict, "the node refused it: \(refusal)", next: "`shadowmesh peers` lists what is there")
    default: ControlFailure(.storage, "\(error)", next: "mend that, and try again; nothing was changed")
    }
  }
}

extension PeerEntry {
  /// As the core wants it.
  init(_ entry: PeerBook.Entry) {
    self.init(
      peerID: entry.peerID, keyHash: entry.keyHash,
      publicKey: entry.publicKey.flatMap { IdentityPublicKey($0) },
      inbound: InboundPermission(entry.allow), endpoints: entry.endpoints)
  }
}

extension InboundPermission {
  init(_ rules: [PortRule]) {
    self.init(
      allowsAll: rules.contains(.all), allowsPing: rules.contains(.ping),
      tcpPorts: Set(rules.compactMap { if case .tcp(let port) = $0 { port } else { nil } }),
      udpPorts: Set(rules.compactMap { if case .udp(let port) = $0 { port } else { nil } }))
  }
}
