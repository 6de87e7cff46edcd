import Kademlia
import MeshCrypto
import MeshNode
import MeshWire

/// What a liar answers a question for nodes near a target with.
public enum Lie: Sendable, Hashable, CaseIterable {
  /// Fellows whose keys were ground until their identifiers lay beside the target.
  case besideTarget
  /// Fellows with any identifiers.
  case anywhere
  /// True nodes, somewhere else.
  case falseEndpoints
  case silence
}

/// Liars who know each other, and the keys that they have made beforehand so as to have some beside any
/// target.
///
/// Making a key takes 0.4 ms, so 131,072 of them are a minute's work; among 10,000 honest nodes they are
/// thirteen times as dense. Each answers at the address of one of the liars, on a port of its own: as many
/// networks as there are liars.
public struct Conspiracy: Sendable {
  public static let keyCount = 131_072
  private static let firstPort = 20_000

  private let lies: [Lie]
  private let chance: Chance
  private let liars: [MemberID]
  /// Ground keys in the order of their PeerIDs.
  private let keys: [(keyHash: KeyHash, number: Int)]

  /// - Parameter lies: what its members tell, each of them as often.
  public init(_ census: Census, lies: [Lie], seed: UInt64, keyCount: Int = Conspiracy.keyCount) {
    self.lies = lies
    let chance = Chance(seed: seed)
    self.chance = chance
    liars = (0..<census.founders).map { MemberID(number: $0) }.filter(census.isLiar)
    let count = lies.contains(.besideTarget) && !liars.isEmpty ? keyCount : 0
    keys = (0..<count).map { (Self.key(chance, $0).keyHash, $0) }
      .sorted { $0.keyHash.peerID < $1.keyHash.peerID }
  }

  private static func key(_ chance: Chance, _ number: Int) -> IdentityPublicKey {
    var own = chance.stream(UInt64(number))
    guard let key = IdentityPublicKey(own.bytes(IdentityPublicKey.size)) else {
      preconditionFailure("so many bytes are a key")
    }
    return key
  }

  /// The ground key that answers there.
  func key(at endpoint: Endpoint, _ census: Census) -> (publicKey: IdentityPublicKey, number: Int)? {
    guard Int(endpoint.port) >= Self.firstPort, let member = census.member(owning: endpoint.address),
      let position = liars.firstIndex(of: member)
    else { return nil }
    let number = (Int(endpoint.port) - Self.firstPort) * liars.count + position
    return number < keys.count ? (Self.key(chance, number), number) : nil
  }

  private func hint(_ key: (keyHash: KeyHash, number: Int), _ census: Census) -> ContactHint {
    let address = census.endpoint(of: liars[key.number % liars.count]).address
    let port = UInt16(Self.firstPort + key.number / liars.count)
    return ContactHint(keyHash: key.keyHash, endpoint: Endpoint(address, port: port), sequence: 1)
  }

  // MARK: Answers

  /// What a liar says to a question; nothing for what needs no answer, and sometimes for what does.
  func answer(
    _ message: ControlMessage, census: Census, archive: inout Archive, chance: inout Chance
  ) -> [ControlMessage] {
    switch message {
    case .ping(let id): [.pong(id, peerAdded: false)]
    case .findNode(let id, let target):
      switch chance.pick(lies) {
      case .silence: []
      case .besideTarget: [.nodes(id, someBeside(target, &chance).map { hint($0, census) })]
      case .anywhere:
        [
          .nodes(
            id, (0..<ControlMessage.hintLimit).map { _ in hint(of: chance.pick(liars), in: census, nil) })
        ]
      case .falseEndpoints:
        [
          .nodes(
            id,
            trueNodes(near: target, census).map { member in
              hint(of: member, in: census, UInt16(1_024 + chance.index(below: 10_000)))
            })
        ]
      }
    case .getRecord(let id, let target):
      lies == [.silence] ? [] : [.record(id, record(target, census, &archive, &chance))]
    default: []
    }
  }

  /// Each answer names others of the keys that lie nearer than nearly all honest nodes, so that a search
  /// which goes by distance alone never comes to the end of them.
  private static let choice = 260

  private func someBeside(_ target: PeerID, _ chance: inout Chance) -> [(keyHash: KeyHash, number: Int)] {
    let near = nearest(to: target, count: Self.choice)
    return chance.order(of: near.count).prefix(ControlMessage.hintLimit).map { near[$0] }
  }

  /// The nodes behind the ground keys nearest to a target.
  func nodes(beside target: PeerID, count: Int, _ census: Census) -> [HostPlan] {
    nearest(to: target, count: count).map { key in
      var plan = HostPlan(
        identity: .standIn(Self.key(chance, key.number)), endpoint: hint(key, census).endpoint)
      plan.serviceType = .lightPublic
      return plan
    }
  }

  private func hint(of member: MemberID, in census: Census, _ port: UInt16?) -> ContactHint {
    let endpoint = census.endpoint(of: member)
    return ContactHint(
      keyHash: census.keyHash(of: member),
      endpoint: port.map { Endpoint(endpoint.address, port: $0) } ?? endpoint, sequence: 1)
  }

  /// The ground keys nearest to a target.
  private func nearest(to target: PeerID, count: Int) -> [(keyHash: KeyHash, number: Int)] {
    var low = 0
    var high = keys.count
    while low < high {
      let middle = (low + high) / 2
      if keys[middle].keyHash.peerID < target { low = middle + 1 } else { high = middle }
    }
    let around = keys[max(0, low - 2 * count)..<min(keys.count, low + 2 * count)]
    return Array(
      around.sorted { $0.keyHash.peerID.distance(to: target) < $1.keyHash.peerID.distance(to: target) }
        .prefix(count))
  }

  private func trueNodes(near target: PeerID, _ census: Census) -> [MemberID] {
    Array(
      census.around(target, reach: 2 * ControlMessage.hintLimit)
        .sorted {
          census.peerID(of: $0).distance(to: target) < census.peerID(of: $1).distance(to: target)
        }
        .prefix(ControlMessage.hintLimit))
  }

  /// No record, one that was tampered with, or somebody else's.
  private func record(
    _ target: PeerID, _ census: Census, _ archive: inout Archive, _ chance: inout Chance
  ) -> ControlMessage.UnparsedRecord? {
    switch chance.index(below: 4) {
    case 0:
      guard let member = census.member(target) else { return nil }
      var bundle = archive.bundle(of: member, in: census)
      bundle[bundle.count - 100 - chance.index(below: 4_000)] ^= 1
      return ControlMessage.UnparsedRecord(bundle: bundle)
    case 1:
      return ControlMessage.UnparsedRecord(bundle: archive.bundle(of: chance.pick(liars), in: census))
    default: return nil
    }
  }
}
