/// A chart with the name of the file that it is drawn into.
public struct Curve: Codable, Equatable, Sendable {
  /// The file's name without its ending: small letters, digits and hyphens.
  public let name: String
  /// What is drawn.
  public let chart: Chart

  /// A curve called so.
  public init(_ name: String, _ chart: Chart) {
    precondition(Self.isName(name), "\(name) can't name a file")
    self.name = name
    self.chart = chart
  }

  /// A curve from a file, whose name leads to no other folder.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    name = try container.decode(String.self, forKey: .name)
    chart = try container.decode(Chart.self, forKey: .chart)
    guard Self.isName(name) else {
      throw DecodingError.dataCorruptedError(
        forKey: .name, in: container,
        debugDescription: "a curve's name is made of small letters, digits and hyphens")
    }
  }

  private enum CodingKeys: String, CodingKey {
    case name, chart
  }

  private static func isName(_ name: String) -> Bool {
    !name.isEmpty && name.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 45 }
  }
}
