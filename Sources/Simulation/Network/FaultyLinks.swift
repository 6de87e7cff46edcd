import MeshWire

extension LinkQuality {
  /// A mix of every fault that a link can have.
  static func faulty(_ chance: inout Chance) -> LinkQuality {
    LinkQuality(
      delay: .milliseconds(Int64(chance.index(below: 150))),
      jitter: .milliseconds(Int64(chance.index(below: 60))),
      loss: [0, 0.01, 0.1, 0.3, 0.5][chance.index(below: 5)],
      duplication: [0, 0.05, 0.3][chance.index(below: 3)],
      reordering: [0, 0.05, 0.3][chance.index(below: 3)],
      corruption: [0, 0, 0.02, 0.1][chance.index(below: 4)],
      bytesPerSecond: [nil, nil, 16_000, 125_000][chance.index(below: 4)],
      largestPayload: [1_472, 1_472, 1_472, 1_232, 1_341, 1_400][chance.index(below: 6)])
  }

  /// For a person.
  var story: String {
    var parts = ["delay \(delay)", "jitter \(jitter)", "loss \(loss)"]
    parts.append("duplication \(duplication), reordering \(reordering)")
    parts.append("corruption \(corruption), payload \(largestPayload)")
    if let rate = bytesPerSecond { parts.append("\(rate) B/s") }
    return parts.joined(separator: ", ")
  }
}
