extension ConfigurationFile {
  /// A string. Text that YAML takes for a number, a truth value or null must be quoted to count as one.
  public mutating func string(_ key: String) throws(ConfigurationError) -> String? {
    guard let tree = take(key) else { return nil }
    guard case .scalar(let text, .string, _) = tree, !text.isEmpty else {
      throw mismatch(key, expected: "a string", found: tree)
    }
    return text
  }

  /// A whole number in decimal digits, inside `range`.
  public mutating func integer(_ key: String, in range: ClosedRange<Int>) throws(ConfigurationError) -> Int? {
    guard let tree = take(key) else { return nil }
    guard case .scalar(let text, .integer, _) = tree, let value = Int(text), range.contains(value) else {
      let expected = "a whole number from \(range.lowerBound) to \(range.upperBound)"
      throw mismatch(key, expected: expected, found: tree)
    }
    return value
  }

  /// `true` or `false`; YAML's `yes`, `on` and the like are refused.
  public mutating func boolean(_ key: String) throws(ConfigurationError) -> Bool? {
    guard let tree = take(key) else { return nil }
    guard case .scalar(let text, .boolean, _) = tree, let value = Bool(text) else {
      throw mismatch(key, expected: "true or false", found: tree)
    }
    return value
  }

  /// One of an enum's raw values.
  public mutating func choice<Value>(_ key: String, of type: Value.Type) throws(ConfigurationError) -> Value?
  where Value: RawRepresentable<String> & CaseIterable {
    let words = type.allCases.map(\.rawValue).joined(separator: ", ")
    return try value(key, expected: "one of: \(words)") { Value(rawValue: $0) }
  }

  /// A scalar that `parse` understands; `nil` from it refuses the value as not what was `expected`.
  ///
  /// The text comes as written, also where YAML would take it for a number: hexadecimal digits need no
  /// quotes.
  public mutating func value<Value>(
    _ key: String, expected: String, parse: (String) -> Value?
  ) throws(ConfigurationError) -> Value? {
    guard let tree = take(key) else { return nil }
    guard let value = Self.parsed(tree, parse) else { throw mismatch(key, expected: expected, found: tree) }
    return value
  }

  /// A list of at most `limit` scalars, each understood by `parse`; `expected` describes one of them.
  public mutating func values<Value>(
    _ key: String, upTo limit: Int, expected: String, parse: (String) -> Value?
  ) throws(ConfigurationError) -> [Value]? {
    guard let tree = take(key) else { return nil }
    let items = try list(tree, key: key, upTo: limit)
    var values: [Value] = []
    for item in items {
      guard let value = Self.parsed(item, parse) else { throw mismatch(key, expected: expected, found: item) }
      values.append(value)
    }
    return values
  }

  /// A list of at most `limit` groups of keys. Read each like a file, and call `finish()` on each.
  public mutating func groups(_ key: String, upTo limit: Int) throws(ConfigurationError)
    -> [ConfigurationFile]?
  {
    guard let tree = take(key) else { return nil }
    let items = try list(tree, key: key, upTo: limit)
    for item in items {
      guard case .mapping = item else { throw mismatch(key, expected: "groups of keys", found: item) }
    }
    return items.enumerated().map { item($0.element, of: key, at: $0.offset) }
  }

  /// A span of time: a whole number followed by `s`, `m`, `h` or `d`, inside `range`.
  public mutating func duration(_ key: String, in range: ClosedRange<Duration>) throws(ConfigurationError)
    -> Duration?
  {
    let low = range.lowerBound.components.seconds
    let high = range.upperBound.components.seconds
    return try value(key, expected: "a time like 30s, 5m, 2h or 7d, from \(low)s to \(high)s") { text in
      let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3_600, "d": 86_400]
      guard let unit = text.last.flatMap({ units[$0] }), let count = Int64(text.dropLast()), count >= 0
      else { return nil }
      let (seconds, overflow) = count.multipliedReportingOverflow(by: unit)
      guard !overflow, range.contains(.seconds(seconds)) else { return nil }
      return .seconds(seconds)
    }
  }

  private static func parsed<Value>(_ tree: ConfigurationTree, _ parse: (String) -> Value?) -> Value? {
    guard case .scalar(let text, let kind, _) = tree, kind != .null else { return nil }
    return parse(text)
  }

  private func list(_ tree: ConfigurationTree, key: String, upTo limit: Int) throws(ConfigurationError)
    -> [ConfigurationTree]
  {
    guard case .list(let items, _) = tree, items.count <= limit else {
      throw mismatch(key, expected: "a list of at most \(limit) entries", found: tree)
    }
    return items
  }
}
