import ControlAPI
import MeshPaths
import MeshWire

extension NetcheckReport {
  /// - Parameters:
  ///   - regions: of the backbones' servers.
  ///   - took: since it was asked for.
  init(
    _ findings: NATFindings?, finished: Bool, portMapping: PortMappingReport, regions: [Endpoint: String],
    took: Duration
  ) {
    self.init(
      finished: finished, udp: findings?.hasUDP ?? false, ipv4: findings?.v4.map { NetcheckFamily($0) },
      ipv6: findings?.v6.map { NetcheckFamily($0) }, portMapping: portMapping,
      servers: findings?.roundTrips.map {
        NetcheckServer(
          region: regions[$0.server] ?? "", address: $0.server.description,
          milliseconds: $0.time?.milliseconds)
      } ?? [],
      meaning: findings?.meaning ?? "", milliseconds: took.milliseconds)
  }
}

extension NetcheckFamily {
  init(_ family: FamilyFindings) {
    let mapping: Mapping =
      switch family.mapping {
      case .unknown: .unknown
      case .none: .none
      case .endpointIndependent: .endpointIndependent
      case .addressDependent: .addressDependent
      case .addressAndPortDependent: .addressAndPortDependent
      }
    let filtering: Filtering =
      switch family.filtering {
      case .unknown: .unknown
      case .endpointIndependent: .endpointIndependent
      case .addressDependent: .addressDependent
      case .addressAndPortDependent: .addressAndPortDependent
      }
    self.init(
      asked: family.asked, answered: family.answered, address: family.reflexive?.description,
      mapping: mapping, filtering: filtering, portKept: family.keepsPort, hairpin: family.hairpins,
      carrierGrade: family.isCarrierGrade)
  }
}
