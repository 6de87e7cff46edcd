import ControlAPI
import Logging
import MeshCrypto
import MeshNode
import MeshWire
import NodeHost

/// Where the peer book's changes take effect: the running node, or a stand-in for tests.
protocol PeerTable: Sendable {
  func add(_ entry: PeerEntry) async throws
  func remove(_ peerID: PeerID) async throws
  /// Returns the index that `.inviteRedeemed` repeats; `nil` when the node has no room.
  func addInvitation(secretHash: [UInt8], expires: WallTime) async throws -> Int?
}

/// The peer book and the open invitations: in memory, on the disk, and in the node, in step. One change comes
/// after the other, also while one waits for the node.
actor Membership {
  private let table: any PeerTable
  private let folder: StateFolder
  private let logger: Logger
  private var book: PeerBook
  private var ledger: InviteLedger
  /// Whom a join is under way with: at most one each, and one of each control connection.
  private var introduced: Set<PeerID> = []
  private var inviteHashes: [Int: [UInt8]] = [:]
  private var hasUnsavedPeers = false
  private var hasUnsavedInvites = false
  private var hasRefusedWrite = false
  private var isChanging = false
  /// Changes that wait for the one under way: at most one of each control connection and the notice reader's.
  private var waiting: [CheckedContinuation<Void, Never>] = []
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

  /// Gives the node every invitation that was not redeemed; its peers it got before it began. Which of them
  /// have expired shows when somebody comes with one: before the first login the clock may be wrong by hours.
  func restoreInvitations() async throws {
    try await alone {
      for entry in ledger.entries {
        guard let hash = [UInt8](hex: entry.secretHash) else { continue }
        let expires = WallTime(secondsSinceEpoch: entry.expires)
        if let index = try await table.addInvitation(secretHash: hash, expires: expires) {
          inviteHashes[index] = hash
        }
      }
    }
  }

  /// Runs a change when the one before it is done. What the node tells of a peer while it is being added
  /// waits for the book to have it.
  private func alone<Value>(_ change: () async throws -> Value) async rethrows -> Value {
    if isChanging {
      await withCheckedContinuation { waiting.append($0) }
    } else {
      isChanging = true
    }
    defer {
      if waiting.isEmpty { isChanging = false } else { waiting.removeFirst().resume() }
    }
    return try await change()
  }

  /// Adds or changes a peer everywhere, or nowhere. Throws ``ControlFailure``.
  @discardableResult
  func add(
    _ name: PeerName, _ peerID: PeerID, keyHash: KeyHash? = nil, publicKey: IdentityPublicKey? = nil,
    allow: [PortRule], hops: HopCount? = nil, endpoints: [Endpoint] = []
  ) async throws -> PeerBook.Entry {
    try await make(peerID) { (book: inout PeerBook) throws(PeerBook.Refusal) in
      let entry = try book.add(
        name, peerID, keyHash: keyHash, allow: allow, hops: hops, endpoints: endpoints)
      guard let publicKey else { return entry }
      _ = try book.learned(publicKey.keyHash, publicKey: publicKey.bytes, endpoints: [])
      return book[peerID] ?? entry
    }
  }

  /// Chooses how many relays are on the way to a peer, everywhere or nowhere; `nil`: as for all. Throws
  /// ``ControlFailure``.
  @discardableResult
  func setHops(_ hops: HopCount?, of name: PeerName) async throws -> PeerBook.Entry {
    let unknown = PeerBook.Refusal.unknown(name)
    guard let peerID = book[name]?.peerID else {
      throw ControlFailure(.notFound, unknown.description, next: unknown.next)
    }
    return try await make(peerID) { (book: inout PeerBook) throws(PeerBook.Refusal) in
      // Another may have the name by now.
      guard book[name]?.peerID == peerID else { throw unknown }
      return try book.setHops(hops, of: name)
    }
  }

  /// Makes a change of one peer in the node, the book and on the disk, or nowhere.
  private func make(
    _ peerID: PeerID, _ change: @escaping (inout PeerBook) throws(PeerBook.Refusal) -> PeerBook.Entry
  ) async throws -> PeerBook.Entry {
    let attempted = { (book: inout PeerBook) throws(ControlFailure) -> PeerBook.Entry in
      do throws(PeerBook.Refusal) { return try change(&book) } catch {
        throw ControlFailure(.conflict, error.description, next: error.next)
      }
    }
    return try await alone {
      var draft = book
      let wanted = try attempted(&draft)
      do { try await table.add(PeerEntry(wanted)) } catch { throw Self.failure(error) }
      // Where a peer was reached may have come in between: the change is made to the book as it is now.
      let before = book[peerID]
      do {
        let entry = try attempted(&book)
        try save()
        onChange()
        return entry
      } catch {
        book.restore(peerID, before)
        await restoreInNode(peerID)
        throw Self.failure(error)
      }
    }
  }

  /// Lets the node speak with a peer by this key while an invitation is redeemed there. The book stays as it
  /// is, in memory and on the disk: ``add(_:_:keyHash:publicKey:allow:endpoints:)`` and
  /// ``endIntroduction(of:)`` follow when it was accepted, else ``withdraw(_:)``. Throws ``ControlFailure``
  /// when the book would not take it, or while another join with this peer is under way.
  func introduce(
    _ name: PeerName, _ peerID: PeerID, keyHash: KeyHash, endpoints: [Endpoint]
  ) async throws {
    try await alone {
      guard !introduced.contains(peerID) else {
        throw ControlFailure(
          .busy, "a join with \(name.text) is under way",
          next: "wait until it has ended: half a minute at most")
      }
      var draft = book
      let wanted: PeerBook.Entry
      do throws(PeerBook.Refusal) {
        wanted = try draft.add(
          name, peerID, keyHash: keyHash, allow: book[peerID]?.allow ?? [], endpoints: endpoints)
      } catch { throw ControlFailure(.conflict, error.description, next: error.next) }
      do { try await table.add(PeerEntry(wanted)) } catch { throw Self.failure(error) }
      introduced.insert(peerID)
    }
  }

  /// The join with this peer has ended; another may begin.
  func endIntroduction(of peerID: PeerID) { introduced.remove(peerID) }

  /// Makes a peer in the node what it is in the book, or nobody; also where the key goes away that it was
  /// introduced with.
  func withdraw(_ peerID: PeerID) async {
    await alone { await restoreInNode(peerID) }
    endIntroduction(of: peerID)
  }

  private func restoreInNode(_ peerID: PeerID) async {
    do {
      // Not changed but made anew: a pin cannot be taken back otherwise.
      try await table.remove(peerID)
      if let entry = book[peerID] { try await table.add(PeerEntry(entry)) }
    } catch {
      logger.error(
        "the node could not be given a peer as it was: it will have it at the next start",
        metadata: ["peer.id": "\(peerID)", "reason": "\(error)"])
    }
  }

  /// Removes a peer everywhere, first from the node: an error never leaves it with access that the book no
  /// longer shows. Throws ``ControlFailure``.
  func remove(_ name: PeerName) async throws -> PeerBook.Entry {
    try await alone {
      guard let entry = book[name] else {
        let refusal = PeerBook.Refusal.unknown(name)
        throw ControlFailure(.notFound, refusal.description, next: refusal.next)
      }
      do { try await table.remove(entry.peerID) } catch { throw Self.failure(error) }
      let before = book[entry.peerID]
      book.restore(entry.peerID, nil)
      do { try save() } catch {
        book.restore(entry.peerID, before)
        await restoreInNode(entry.peerID)
        throw Self.failure(error)
      }
      onChange()
      return entry
    }
  }

  /// Notes a verified identity behind a peer, for good.
  func pin(_ publicKey: IdentityPublicKey) async {
    await alone {
      do {
        guard try book.learned(publicKey.keyHash, publicKey: publicKey.bytes, endpoints: []) else { return }
        saveOrPutOff()
        onChange()
      } catch {
        logger.error(
          "a peer's identity could not be pinned",
          metadata: ["peer.id": "\(publicKey.keyHash.peerID)", "reason": "\(error)"])
      }
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
      hasUnsavedPeers = true
    }
  }

  /// Writes what was put off, spent invitations first.
  func savePutOff() {
    do {
      if hasUnsavedInvites { try folder.write(ledger) }
      hasUnsavedInvites = false
      if hasUnsavedPeers { try save() }
      hasRefusedWrite = false
    } catch {
      hasRefusedWrite = true
      logger.error("peers and invitations could not be saved", metadata: ["reason": "\(error)"])
    }
  }

  /// Tries again what the disk refused; what waits for no more than its turn goes on waiting.
  func retryPutOff() { if hasRefusedWrite { savePutOff() } }

  /// For what has happened already, whatever the disk says: it holds in memory, and is written as soon as
  /// that works.
  private func saveOrPutOff() {
    hasUnsavedPeers = true
    savePutOff()
  }

  /// Opens an invitation. Throws ``ControlFailure``.
  func invite(
    secretHash: [UInt8], name: PeerName?, allow: [PortRule], expires: WallTime, now: WallTime
  ) async throws {
    try await alone {
      if let name, let other = book[name] {
        let refusal = PeerBook.Refusal.nameTaken(name, by: other.peerID)
        throw ControlFailure(.conflict, refusal.description, next: refusal.next)
      }
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
        // This one only: others may have been made or redeemed meanwhile.
        _ = ledger.redeem(secretHash: secretHash, now: now)
        hasUnsavedInvites = true
        savePutOff()
        throw Self.failure(error)
      }
    }
  }

  /// Someone proved knowledge of invitation `index`, and was told so: they are a peer from now on, and the
  /// invitation is spent, on the disk before the peer. A full disk takes neither back: both are written as
  /// soon as there is room.
  func redeemed(index: Int, by publicKey: IdentityPublicKey, at endpoint: Endpoint, now: WallTime) async {
    await alone { await admit(index, publicKey, at: endpoint, now: now) }
  }

  private func admit(
    _ index: Int, _ publicKey: IdentityPublicKey, at endpoint: Endpoint, now: WallTime
  ) async {
    let peerID = publicKey.keyHash.peerID
    guard let hash = inviteHashes.removeValue(forKey: index),
      let invite = ledger.redeem(secretHash: hash, now: now)
    else {
      logger.warning("an invitation that is not open was redeemed", metadata: ["peer.id": "\(peerID)"])
      return
    }
    hasUnsavedInvites = true
    savePutOff()
    let known = book[peerID]
    let wanted = invite.name.flatMap { book[$0] == nil ? $0 : nil }
    guard let name = known?.name ?? wanted ?? book.freeName(for: peerID) else { return }
    do {
      _ = try book.add(
        name, peerID, keyHash: publicKey.keyHash, allow: invite.allow, endpoints: [endpoint])
      _ = try book.learned(publicKey.keyHash, publicKey: publicKey.bytes, endpoints: [])
      saveOrPutOff()
      if let entry = book[peerID] { try await table.add(PeerEntry(entry)) }
      onChange()
      logger.notice("an invitation was redeemed", metadata: ["peer.id": "\(peerID)", "peer.name": "\(name)"])
    } catch {
      logger.error(
        "who redeemed an invitation could not be added",
        metadata: ["peer.id": "\(peerID)", "reason": "\(error)"])
    }
  }

  private func save() throws {
    try folder.write(book)
    hasUnsavedPeers = false
  }

  private static func failure(_ error: any Error) -> ControlFailure {
    switch error {
    case let failure as ControlFailure: failure
    case let error as NodeLoopError: ControlFailure(.busy, "\(error)", next: "try again in a moment")
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
      inbound: InboundPermission(entry.allow), endpoints: entry.endpoints,
      relayHops: entry.hops?.value)
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
