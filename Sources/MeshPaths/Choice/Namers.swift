public import MeshWire

/// Who has said that a peer may be at an address: backbones, or somebody whose word counts for more (the peer
/// itself, its record, its owner), which no backbone takes back.
public struct Namers: Sendable, Hashable {
  /// No more than ``PathLimits/backbones``; empty once somebody else has said so.
  public private(set) var backbones: [PeerID]

  /// - Parameter backbone: `nil` for anybody else.
  public init(_ backbone: PeerID?) { backbones = backbone.map { [$0] } ?? [] }

  /// Whether nobody but backbones has said so.
  public var isOnlyBackbones: Bool { !backbones.isEmpty }

  /// Notes one more; `nil` for anybody else than a backbone.
  public mutating func add(_ backbone: PeerID?) {
    guard isOnlyBackbones, let backbone else {
      backbones = []
      return
    }
    if backbones.count < PathLimits.backbones, !backbones.contains(backbone) { backbones.append(backbone) }
  }

  /// Which of the addresses in a full table makes room for one that `backbone` names: one of the backbone
  /// that has named most, if those are two more than `backbone` has, so that none of several keeps out what
  /// another names. What others have named as well goes last, and what `backbone` itself has, or anybody but
  /// backbones, not at all: no one can have an address left by naming it, too, and no two can have their
  /// own take each other's place without end. What a peer says itself (`nil`) goes before all of theirs.
  ///
  /// - Parameter places: oldest first; `nil` for those that stay.
  public static func crowding(_ places: [Namers?], for backbone: PeerID?) -> Int? {
    var named: [PeerID: Int] = [:]
    for namers in places { for other in namers?.backbones ?? [] { named[other, default: 0] += 1 } }
    guard let most = named.values.max() else { return nil }
    if let backbone, most <= named[backbone, default: 0] + 1 { return nil }
    let theirs = places.indices.filter { place in
      guard let namers = places[place] else { return false }
      return namers.backbones.contains { named[$0] == most }
        && !(backbone.map { namers.backbones.contains($0) } ?? false)
    }
    return theirs.min { ($0.namers(in: places), $0) < ($1.namers(in: places), $1) }
  }
}

extension Int {
  fileprivate func namers(in places: [Namers?]) -> Int { places[self]?.backbones.count ?? 0 }
}
