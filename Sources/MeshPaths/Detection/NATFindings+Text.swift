/// With whom packets can go directly: what a family's findings come to.
public enum DirectReach: Sendable, Hashable, Comparable {
  /// No UDP server answered.
  case nobody
  /// What the NAT does is not known.
  case unknown
  /// A mapping for each destination: with peers whose filter lets any port of an address in, if it has sent
  /// to that address.
  case unfilteredPeers
  /// All but those with a mapping for each destination.
  case allButSymmetric
  /// Everyone whose own network lets UDP out.
  case everyone
}

extension FamilyFindings {
  /// By the matrix that was measured in namespaces (`docs/nat-traversal.md`).
  public var reach: DirectReach {
    guard isReachable else { return .nobody }
    switch (mapping, filtering) {
    case (.unknown, _): return .unknown
    case (.addressDependent, _), (.addressAndPortDependent, _): return .unfilteredPeers
    case (.none, .endpointIndependent), (.none, .addressDependent),
      (.endpointIndependent, .endpointIndependent), (.endpointIndependent, .addressDependent):
      return .everyone
    case (.none, _), (.endpointIndependent, _): return .allButSymmetric
    }
  }
}

extension NATFindings {
  /// What it means for connections: one sentence, or two where IPv4 and IPv6 differ.
  public var meaning: String {
    switch (v4?.reach, v6?.reach) {
    case (nil, nil): return "No STUN server is known, so nothing could be asked."
    case (let reach?, nil), (nil, let reach?): return reach.sentence
    case (let four?, let six?):
      if four == six { return four.sentence }
      if six == .nobody { return four.sentence + " There is no IPv6." }
      if four == .nobody { return six.sentence + " That is over IPv6; IPv4 does not get out." }
      return "Over IPv4: " + four.sentence + " Over IPv6: " + six.sentence
    }
  }
}

extension DirectReach {
  /// For a person.
  public var sentence: String {
    switch self {
    case .nobody:
      """
      No server answered over UDP: unless all of them are down, this network blocks it, and connections \
      need a relay.
      """
    case .unknown:
      """
      What the NAT does could not be told: direct connections are tried, and a relay carries those that fail.
      """
    case .unfilteredPeers:
      """
      Direct connections will work only with peers whose NAT takes packets from any port; a relay carries \
      the rest.
      """
    case .allButSymmetric:
      "Direct connections will work with everyone except peers behind a symmetric NAT; a relay carries those."
    case .everyone: "Direct connections will work with everyone whose own network lets UDP out."
    }
  }
}
