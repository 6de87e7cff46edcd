import ControlAPI
import Foundation
import Logging
import MeshCrypto
import MeshNode
import MeshWire
import NodeHost
import Synchronization
import Testing

@testable import LightNode

/// A node's peer table that only remembers.
private final class RecordingTable: PeerTable {
  struct State {
    var peers: [PeerID: PeerEntry] = [:]
    var invitations: [[UInt8]] = []
    var refusal: PeerRefusal?
    var isBusy = false
    var hasRoom = true
    /// Called once, while the node adds the next peer.
    var during: (@Sendable () async -> Void)?
  }
  let state = Mutex(State())

  func add(_ entry: PeerEntry) async throws {
    try state.withLock { state in
      if let refusal = state.refusal { throw refusal }
      state.peers[entry.peerID] = entry
    }
    let during = state.withLock { state in
      defer { state.during = nil }
      return state.during
    }
    await during?()
  }

  func remove(_ peerID: PeerID) async throws {
    try state.withLock { state in
      if state.isBusy { throw NodeLoopError.busy }
      state.peers[peerID] = nil
    }
  }

  func addInvitation(secretHash: [UInt8], expires: WallTime) async throws -> Int? {
    state.withLock { state in
      guard state.hasRoom else { return nil }
      state.invitations.append(secretHash)
      return state.invitations.count - 1
    }
  }
}

@Suite("Membership")
struct MembershipTests {
  private let folder: TemporaryFolder
  private let state: StateFolder
  private let table = RecordingTable()
  private let membership: Membership
  private let ourself = PeerID(Array(repeating: 9, count: 20))!
  private let now = WallTime(secondsSinceEpoch: 1_000)
  private let bob = PeerName("bob")!

  init() throws {
    folder = try TemporaryFolder()
    state = StateFolder(directory: folder.path)
    membership = Membership(
      book: PeerBook(ourself: ourself), ledger: InviteLedger(), table: table, folder: state,
      logger: Logger(label: "test"))
  }

  private func id(_ byte: UInt8) -> PeerID { PeerID(Array(repeating: byte, count: 20))! }
  private var added: [PeerID] { table.state.withLock { $0.peers.keys.sorted() } }

  @Test func anAddedPeerIsInBookNodeAndFile() async throws {
    try await membership.add(bob, id(1), allow: [.tcp(22), .ping])
    #expect(added == [id(1)])
    #expect(table.state.withLock { $0.peers[id(1)]?.inbound.tcpPorts } == [22])
    #expect(table.state.withLock { $0.peers[id(1)]?.inbound.allowsPing } == true)
    #expect(try state.readPeers(ourself: ourself)[bob]?.peerID == id(1))
    _ = try await membership.remove(bob)
    #expect(added.isEmpty)
    #expect(try state.readPeers(ourself: ourself).count == 0)
  }

  @Test("Relays on the way to a peer reach book, node and file, and a refusal leaves all as they were")
  func hops() async throws {
    func inNode() -> Int? { table.state.withLock { $0.peers[id(1)]?.relayHops } }
    try await membership.add(bob, id(1), allow: [], hops: HopCount(2))
    #expect(inNode() == 2)
    try await membership.setHops(HopCount(3), of: bob)
    #expect(inNode() == 3)
    #expect(try state.readPeers(ourself: ourself)[bob]?.hops == HopCount(3))
    table.state.withLock { $0.refusal = .full }
    await #expect(throws: ControlFailure.self) { try await membership.setHops(nil, of: bob) }
    table.state.withLock { $0.refusal = nil }
    #expect(await membership.entry(bob)?.hops == HopCount(3))
    try await membership.setHops(nil, of: bob)
    #expect(inNode() == nil)
    #expect(try state.readPeers(ourself: ourself)[bob]?.hops == nil)
    let failure = await #expect(throws: ControlFailure.self) {
      try await membership.setHops(HopCount(1), of: PeerName("eve")!)
    }
    #expect(failure?.kind == .notFound)
  }

  @Test("Without --allow nothing may come in but replies")
  func denyByDefault() async throws {
    try await membership.add(bob, id(1), allow: [])
    #expect(table.state.withLock { $0.peers[id(1)]?.inbound } == .repliesOnly)
  }

  @Test func whatTheNodeRefusesIsNowhere() async throws {
    table.state.withLock { $0.refusal = .full }
    await #expect(throws: ControlFailure.self) { try await membership.add(bob, id(1), allow: []) }
    #expect(await membership.entries.isEmpty)
    #expect(try state.readPeers(ourself: ourself).count == 0)
  }

  @Test("A disk that takes nothing leaves book, node and file as they were")
  func diskRefuses() async throws {
    try await membership.add(bob, id(1), allow: [])
    try FileManager.default.removeItem(atPath: folder.path)
    let failure = await #expect(throws: ControlFailure.self) {
      try await membership.add(PeerName("eve")!, id(2), allow: [])
    }
    #expect(failure?.kind == .storage)
    #expect(added == [id(1)])
    await #expect(throws: ControlFailure.self) { try await membership.remove(bob) }
    #expect(await membership.entry(bob) != nil)
  }

  @Test("An invitation makes one peer, once, and is spent on the disk")
  func redeem() async throws {
    let secret: [UInt8] = Array(repeating: 7, count: 32)
    let hash = InviteLine.hash(ofSecret: secret)
    let expires = WallTime(secondsSinceEpoch: 2_000)
    try await membership.invite(secretHash: hash, name: bob, allow: [.tcp(80)], expires: expires, now: now)
    #expect(table.state.withLock { $0.invitations } == [hash])
    let guest = try IdentityKey().publicKey
    let endpoint = Endpoint("192.0.2.1:1")!
    await membership.redeemed(index: 0, by: guest, at: endpoint, now: now)
    let entry = await membership.entry(bob)
    #expect(entry?.keyHash == guest.keyHash)
    #expect(entry?.allow == [.tcp(80)])
    #expect(entry?.endpoints == [endpoint])
    #expect(try state.readInvites().entries.isEmpty)
    await membership.redeemed(index: 0, by: try IdentityKey().publicKey, at: endpoint, now: now)
    #expect(await membership.entries.count == 1)
  }

  @Test("An invitation that has expired here makes no peer")
  func redeemLate() async throws {
    try await membership.invite(
      secretHash: [1], name: nil, allow: [], expires: WallTime(secondsSinceEpoch: 2_000), now: now)
    await membership.redeemed(
      index: 0, by: try IdentityKey().publicKey, at: Endpoint("192.0.2.1:1")!,
      now: WallTime(secondsSinceEpoch: 2_000))
    #expect(await membership.entries.isEmpty)
  }

  @Test func anInvitationSurvivesARestart() async throws {
    try await membership.invite(
      secretHash: [1, 2], name: bob, allow: [], expires: WallTime(secondsSinceEpoch: 2_000), now: now)
    let again = RecordingTable()
    let restarted = Membership(
      book: PeerBook(ourself: ourself), ledger: try state.readInvites(), table: again, folder: state,
      logger: Logger(label: "test"))
    try await restarted.restoreInvitations()
    #expect(again.state.withLock { $0.invitations } == [[1, 2]])
    await restarted.redeemed(
      index: 0, by: try IdentityKey().publicKey, at: Endpoint("192.0.2.1:1")!, now: now)
    #expect(await restarted.entry(bob) != nil)
  }

  @Test("An invitation that a wrong clock takes for expired at the start holds once the clock is right")
  func clockWrongAtTheStart() async throws {
    let soon = WallTime(secondsSinceEpoch: 2_000)
    try await membership.invite(secretHash: [1], name: bob, allow: [], expires: soon, now: now)
    let wrong = WallTime(secondsSinceEpoch: 5_000)
    try await membership.invite(
      secretHash: [2], name: nil, allow: [], expires: WallTime(secondsSinceEpoch: 9_000), now: wrong)
    let again = RecordingTable()
    let restarted = Membership(
      book: PeerBook(ourself: ourself), ledger: try state.readInvites(), table: again, folder: state,
      logger: Logger(label: "test"))
    try await restarted.restoreInvitations()
    #expect(again.state.withLock { $0.invitations } == [[1], [2]])
    await restarted.redeemed(
      index: 0, by: try IdentityKey().publicKey, at: Endpoint("192.0.2.1:1")!, now: now)
    #expect(await restarted.entry(bob) != nil)
  }

  @Test("One join with a peer at a time: a second would take away what the first was given")
  func secondJoin() async throws {
    let keyHash = KeyHash(id(1).bytes + Array(repeating: 0x66, count: 12))!
    let other = KeyHash(id(1).bytes + Array(repeating: 0x67, count: 12))!
    try await membership.introduce(bob, id(1), keyHash: keyHash, endpoints: [])
    let failure = await #expect(throws: ControlFailure.self) {
      try await membership.introduce(bob, id(1), keyHash: other, endpoints: [])
    }
    #expect(failure?.kind == .busy)
    #expect(table.state.withLock { $0.peers[id(1)]?.keyHash } == keyHash)
    await membership.withdraw(id(1))
    try await membership.introduce(bob, id(1), keyHash: other, endpoints: [])
    await membership.endIntroduction(of: id(1))
    try await membership.introduce(bob, id(1), keyHash: keyHash, endpoints: [])
  }

  @Test("A damaged peer book stops the start, stays as it is, and the copy before it is named")
  func damagedBook() async throws {
    try await membership.add(bob, id(1), allow: [])
    try await membership.add(PeerName("eve")!, id(2), allow: [])
    let file = try folder.write("{\"peers\":[", to: "peers.json")
    let damage = #expect(throws: StateFolder.Damaged.self) { try state.readPeers(ourself: ourself) }
    #expect(damage?.next.contains("peers.json.previous") == true)
    #expect(try String(contentsOfFile: file, encoding: .utf8) == "{\"peers\":[")
    try FileManager.default.removeItem(atPath: file)
    try FileManager.default.copyItem(atPath: file + ".previous", toPath: file)
    #expect(try state.readPeers(ourself: ourself)[bob] != nil)
  }

  @Test func whereAPeerWasReachedComesFirst() async throws {
    let guest = try IdentityKey().publicKey
    try await membership.add(
      bob, guest.keyHash.peerID, keyHash: guest.keyHash, allow: [], endpoints: [Endpoint("192.0.2.1:1")!])
    await membership.reached(guest.keyHash.peerID, at: Endpoint("192.0.2.2:2")!)
    await membership.savePutOff()
    let saved = try state.readPeers(ourself: ourself)[bob]?.endpoints.map(\.description)
    #expect(saved == ["192.0.2.2:2", "192.0.2.1:1"])
  }

  @Test(
    "A removal that the node can't take now is refused whole: no access is left that the book doesn't show")
  func busyNode() async throws {
    try await membership.add(bob, id(1), allow: [.all])
    table.state.withLock { $0.isBusy = true }
    let failure = await #expect(throws: ControlFailure.self) { try await membership.remove(bob) }
    #expect(failure?.kind == .busy)
    #expect(await membership.entry(bob) != nil)
    #expect(try state.readPeers(ourself: ourself)[bob] != nil)
    table.state.withLock { $0.isBusy = false }
    _ = try await membership.remove(bob)
    #expect(added.isEmpty)
  }

  @Test("Whom a join did not reach is as before: no pin, no address, and never in the file")
  func failedJoin() async throws {
    let before = try await membership.add(bob, id(1), allow: [.ping])
    let forged = KeyHash(id(1).bytes + Array(repeating: 0x66, count: 12))!
    try await membership.introduce(bob, id(1), keyHash: forged, endpoints: [Endpoint("192.0.2.66:1")!])
    #expect(table.state.withLock { $0.peers[id(1)]?.keyHash } == forged)
    #expect(await membership.entry(bob) == before)
    #expect(try state.readPeers(ourself: ourself)[bob] == before)
    await membership.withdraw(id(1))
    #expect(table.state.withLock { $0.peers[id(1)] } == PeerEntry(before))
    let eve = KeyHash(Array(repeating: 2, count: 32))!
    try await membership.introduce(PeerName("eve")!, id(2), keyHash: eve, endpoints: [])
    await membership.withdraw(id(2))
    #expect(added == [id(1)])
  }

  @Test("Who is removed while a join with them is under way stays removed")
  func removedDuringJoin() async throws {
    try await membership.add(bob, id(1), allow: [.all])
    let keyHash = KeyHash(id(1).bytes + Array(repeating: 0x66, count: 12))!
    try await membership.introduce(bob, id(1), keyHash: keyHash, endpoints: [])
    _ = try await membership.remove(bob)
    await membership.withdraw(id(1))
    #expect(added.isEmpty)
    #expect(await membership.entries.isEmpty)
  }

  @Test("What the node tells of a peer while it is being added is not lost: its identity is pinned")
  func pinnedWhileAdded() async throws {
    let guest = try IdentityKey().publicKey
    let (membership, table) = (membership, table)
    try await withThrowingDiscardingTaskGroup { group in
      let (told, tell) = AsyncStream.makeStream(of: Void.self)
      group.addTask {
        for await _ in told {}
        await membership.pin(guest)
      }
      table.state.withLock { state in
        state.during = {
          tell.finish()
          // Long enough for the pin to come in between, if it could.
          for _ in 0..<1_000 { await Task.yield() }
        }
      }
      try await membership.add(bob, guest.keyHash.peerID, allow: [])
    }
    #expect(await membership.entry(bob)?.keyHash == guest.keyHash)
    #expect(try state.readPeers(ourself: ourself)[bob]?.keyHash == guest.keyHash)
  }

  @Test("A redemption that was answered holds on a disk that takes nothing, and is written once it does")
  func redemptionOnAFullDisk() async throws {
    let secret: [UInt8] = Array(repeating: 7, count: 32)
    let expires = WallTime(secondsSinceEpoch: 2_000)
    try await membership.invite(
      secretHash: InviteLine.hash(ofSecret: secret), name: bob, allow: [], expires: expires, now: now)
    // Nothing can be written in the place of a folder.
    for name in ["peers.json", "invites.json"] {
      try? FileManager.default.removeItem(atPath: folder.path + "/" + name)
      try FileManager.default.createDirectory(
        atPath: folder.path + "/" + name, withIntermediateDirectories: false)
    }
    let guest = try IdentityKey().publicKey
    await membership.redeemed(index: 0, by: guest, at: Endpoint("192.0.2.1:1")!, now: now)
    #expect(added == [guest.keyHash.peerID])
    #expect(await membership.entry(bob)?.keyHash == guest.keyHash)
    for name in ["peers.json", "invites.json"] {
      try FileManager.default.removeItem(atPath: folder.path + "/" + name)
    }
    await membership.retryPutOff()
    #expect(try state.readPeers(ourself: ourself)[bob]?.keyHash == guest.keyHash)
    #expect(try state.readInvites().entries.isEmpty)
  }

  @Test("An invitation that the node has no room for takes none of the others back")
  func refusedInvitation() async throws {
    let expires = WallTime(secondsSinceEpoch: 2_000)
    try await membership.invite(secretHash: [1], name: bob, allow: [], expires: expires, now: now)
    table.state.withLock { $0.hasRoom = false }
    await #expect(throws: ControlFailure.self) {
      try await membership.invite(secretHash: [2], name: nil, allow: [], expires: expires, now: now)
    }
    #expect(try state.readInvites().entries.map(\.secretHash) == ["01"])
  }
}
