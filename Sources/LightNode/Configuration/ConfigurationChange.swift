import MeshCrypto
import MeshNode
import MeshWire

/// One key that differs between the running configuration and the file as read again (SIGHUP).
public struct ConfigurationChange: Hashable, Sendable {
  public let key: String
  public let old: String
  public let new: String
  /// Whether it takes effect only when the daemon is started anew.
  public let needsRestart: Bool
}

extension LightNodeConfiguration {
  /// What differs, in the order of the sample file.
  public func changes(to new: LightNodeConfiguration) -> [ConfigurationChange] {
    zip(described, new.described).compactMap { old, new in
      guard old.value != new.value else { return nil }
      return ConfigurationChange(
        key: old.key, old: old.value, new: new.value, needsRestart: !Self.liveKeys.contains(old.key))
    }
  }

  /// Keys that a running daemon takes over at once.
  static let liveKeys: Set<String> = ["log_level", "endpoints", "relay_offer_mbps", "relay.operator"]

  /// This configuration with those keys of `new` that need no restart.
  public func takingLiveKeys(from new: LightNodeConfiguration) -> LightNodeConfiguration {
    var result = self
    result.logLevel = new.logLevel
    result.endpoints = new.endpoints
    result.relayOfferMbps = new.relayOfferMbps
    result.relayOperator = new.relayOperator
    return result
  }

  /// Every key with its value as text; no value is secret.
  public var described: [(key: String, value: String)] {
    let metrics =
      switch metricsListener {
      case .off: "off"
      case .address(let endpoint): "\(endpoint)"
      }
    return [
      ("mode", mode.rawValue), ("peer_id_file", peerIDFile), ("backbone_url", backboneURL ?? ""),
      ("region", region.name), ("service_type", serviceType.rawValue), ("state_directory", stateDirectory),
      ("listen_port", "\(listenPort)"), ("port_mapping", portMapping.rawValue),
      ("endpoints", endpoints.map(\.description).joined(separator: " ")),
      ("stun_servers", stunServers.map(\.description).joined(separator: " ")),
      ("backbone_key", backboneKey?.description ?? ""), ("backbone_ca_file", backboneCAFile ?? ""),
      ("allow_plain_http", "\(allowPlainHTTP)"), ("tun_name", tunName), ("mtu", "\(mtu)"),
      ("control_socket", controlSocket), ("control_group", controlGroup), ("metrics_listen", metrics),
      ("log_level", logLevel.rawValue), ("relay_offer_mbps", "\(relayOfferMbps)"),
      ("relay.operator", relayOperator.name), ("relay.admit", relayAdmit.rawValue),
      ("relay.hops", "\(relayHops)"), ("relay.stream_port", "\(relayStreamPort)"),
      ("permit_loopback", "\(permitLoopback)"),
      ("backbone_invite_file", backboneInviteFile ?? ""),
      ("passphrase_file", passphraseFile ?? ""),
    ]
  }
}
