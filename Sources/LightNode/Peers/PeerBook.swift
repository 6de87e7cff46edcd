public import ControlAPI
import Foundation
public import MeshWire

/// Everyone whom the owner added: names, pinned keys, what they may open here. A value; ``StateFolder``
/// stores it.
public struct PeerBook: Hashable, Sendable {
  /// Most peers of one node: what the core holds, and what a record can admit.
  public static let maximumPeers = 256
  /// Most last-known endpoints of one peer.
  public static let maximumEndpoints = 8

  /// One peer.
  public struct Entry: Hashable, Sendable {
    public var name: PeerName
    public var peerID: PeerID
    /// The full identity, pinned by the first verified record or by an invitation; never changed afterwards.
    public internal(set) var keyHash: KeyHash?
    /// The raw ML-DSA-87 public key, once seen; spares asking for it in a handshake.
    public internal(set) var publicKey: [UInt8]?
    /// Sorted, without repeats. Empty: outgoing traffic and its replies only.
    public internal(set) var allow: [PortRule]
    /// Relays on the way to it; `nil`: as the configuration says for all.
    public internal(set) var hops: HopCount?
    /// Where it was last reached or said to be.
    public internal(set) var endpoints: [Endpoint]
  }

  /// Why the book did not change.
  public enum Refusal: Error, Hashable, Sendable {
    case nameTaken(PeerName, by: PeerID)
    case alreadyNamed(PeerID, PeerName)
    case isOurself
    /// The overlay address (13 bytes of the PeerID) is that of another peer.
    case addressTaken(by: PeerName)
    case full
    case unknown(PeerName)
    /// A second key for a pinned PeerID: an attack, or 2^80 steps of bad luck.
    case otherKey(PeerName)
  }

  private var entriesByID: [PeerID: Entry] = [:]
  private let ourself: PeerID

  public init(ourself: PeerID) { self.ourself = ourself }

  public var count: Int { entriesByID.count }

  /// Every entry, by name.
  public var entries: [Entry] { entriesByID.values.sorted { $0.name < $1.name } }

  public subscript(name: PeerName) -> Entry? { entriesByID.values.first { $0.name == name } }
  public subscript(peerID: PeerID) -> Entry? { entriesByID[peerID] }

  /// Adds a peer, or, when the same name and PeerID are there, gives it these port rules.
  ///
  /// A `keyHash` must be that of `peerID`; it pins. Without `hops` a peer that is there keeps its own: a
  /// longer way is not given up in passing.
  @discardableResult
  public mutating func add(
    _ name: PeerName, _ peerID: PeerID, keyHash: KeyHash? = nil, allow: [PortRule],
    hops: HopCount? = nil, endpoints: [Endpoint] = []
  ) throws(Refusal) -> Entry {
    guard peerID != ourself else { throw .isOurself }
    if let other = self[name], other.peerID != peerID { throw .nameTaken(name, by: other.peerID) }
    if let present = entriesByID[peerID], present.name != name {
      throw .alreadyNamed(peerID, present.name)
    }
    let address = OverlayAddress(of: peerID)
    guard address != OverlayAddress(of: ourself) else { throw .isOurself }
    if let other = entriesByID.values.first(where: {
      $0.peerID != peerID && OverlayAddress(of: $0.peerID) == address
    }) {
      throw .addressTaken(by: other.name)
    }
    guard entriesByID[peerID] != nil || entriesByID.count < Self.maximumPeers else { throw .full }
    var entry =
      entriesByID[peerID]
      ?? Entry(name: name, peerID: peerID, keyHash: nil, publicKey: nil, allow: [], endpoints: [])
    if let keyHash {
      guard keyHash.peerID == peerID, entry.keyHash == nil || entry.keyHash == keyHash else {
        throw .otherKey(name)
      }
      entry.keyHash = keyHash
    }
    entry.allow = Self.normalised(allow)
    if let hops { entry.hops = hops }
    if !endpoints.isEmpty { entry.endpoints = Array(endpoints.prefix(Self.maximumEndpoints)) }
    entriesByID[peerID] = entry
    return entry
  }

  /// Chooses how many relays are on the way to a peer; `nil`: as for all.
  @discardableResult
  public mutating func setHops(_ hops: HopCount?, of name: PeerName) throws(Refusal) -> Entry {
    guard var entry = self[name] else { throw .unknown(name) }
    entry.hops = hops
    entriesByID[entry.peerID] = entry
    return entry
  }

  /// Takes a peer out, and returns what was known of it.
  @discardableResult
  public mutating func remove(_ name: PeerName) throws(Refusal) -> Entry {
    guard let entry = self[name] else { throw .unknown(name) }
    entriesByID[entry.peerID] = nil
    return entry
  }

  /// Puts a peer back as it was, or takes it out when it was not there.
  mutating func restore(_ peerID: PeerID, _ entry: Entry?) { entriesByID[peerID] = entry }

  /// Notes what a verified record or a handshake proved. Returns whether anything changed.
  ///
  /// Throws `.otherKey` when the peer is pinned to another KeyHash: the caller raises the alarm.
  public mutating func learned(_ keyHash: KeyHash, publicKey: [UInt8]?, endpoints: [Endpoint])
    throws(Refusal) -> Bool
  {
    guard var entry = entriesByID[keyHash.peerID] else { return false }
    if let pinned = entry.keyHash, pinned != keyHash { throw .otherKey(entry.name) }
    entry.keyHash = keyHash
    if let publicKey { entry.publicKey = publicKey }
    if !endpoints.isEmpty { entry.endpoints = Array(endpoints.prefix(Self.maximumEndpoints)) }
    let changed = entry != entriesByID[keyHash.peerID]
    entriesByID[keyHash.peerID] = entry
    return changed
  }

  /// A name for a peer that came without one: `peer-` and the first 8 digits of its PeerID, longer when
  /// taken.
  public func freeName(for peerID: PeerID) -> PeerName? {
    for digits in stride(from: 8, through: 24, by: 4) {
      if let name = PeerName("peer-\(peerID.description.prefix(digits))"), self[name] == nil { return name }
    }
    return nil
  }

  private static func normalised(_ rules: [PortRule]) -> [PortRule] {
    rules.contains(.all) ? [.all] : Array(Set(rules).sorted().prefix(ControlRequest.maximumPortRules))
  }
}

extension PeerBook.Refusal: CustomStringConvertible {
  public var description: String {
    switch self {
    case .nameTaken(let name, let peerID): "\(name) is already the name of \(peerID)"
    case .alreadyNamed(let peerID, let name): "\(peerID) is here already, as \(name)"
    case .isOurself: "that is this node itself"
    case .addressTaken(let name): "its overlay address is that of \(name)"
    case .full: "the peer book is full (\(PeerBook.maximumPeers))"
    case .unknown(let name): "there is no peer named \(name)"
    case .otherKey(let name): "the key of \(name) is not the one that is pinned"
    }
  }

  /// One thing to try.
  public var next: String {
    switch self {
    case .isOurself: "give the other node's PeerID: `shadowmesh id` there prints it"
    case .nameTaken: "choose another name or PeerID; `shadowmesh peers` lists what is there"
    case .alreadyNamed(_, let name): "to rename it: shadowmesh peer remove \(name), and add it again"
    case .addressTaken(let name): "remove \(name) first, or ask the other node's owner for a new key"
    case .full: "remove peers that you don't use: shadowmesh peer remove NAME"
    case .unknown: "`shadowmesh peers` lists the names"
    case .otherKey(let name):
      "ask its owner whether the key is new; if so: shadowmesh peer remove \(name), and add it again"
    }
  }
}
