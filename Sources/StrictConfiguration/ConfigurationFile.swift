import Foundation

/// A YAML configuration that is read strictly.
///
/// Ask for every key that the program knows, each by its dotted path (`tls.certificate_file`), then call
/// ``finish()``: whatever the file holds beyond what was asked for is refused. A value of the wrong type or
/// out of range is refused where it is asked for. Every ``ConfigurationError`` names file, line, key, and
/// what was expected.
///
/// ```swift
/// var file = try ConfigurationFile(path: "backbone.yaml")
/// let port = try file.integer("port", in: 1...65535) ?? 8443
/// let region = try file.required("region", of: file.string("region"))
/// try file.finish()
/// ```
public struct ConfigurationFile: Sendable {
  /// A larger file is refused unread.
  public static let maximumSize = 1 << 20

  /// The name that errors carry.
  public let name: String
  private let root: ConfigurationTree
  /// Prefix for keys in errors, when this is one item of a list: `nodes[2].`.
  private let prefix: String
  private var asked: Set<String> = []

  /// Reads a file of at most ``maximumSize`` bytes of UTF-8.
  public init(path: String) throws(ConfigurationError) {
    let bytes = try Self.content(of: path)
    guard let text = String(bytes: bytes, encoding: .utf8) else {
      throw ConfigurationError(file: path, line: nil, key: nil, problem: "not UTF-8")
    }
    try self.init(text: text, name: path)
  }

  /// Never more than ``maximumSize`` and one read: the path may name something without an end.
  private static func content(of path: String) throws(ConfigurationError) -> [UInt8] {
    func refusal(_ code: Int32) -> ConfigurationError {
      let reason = unsafe String(cString: strerror(code))
      return ConfigurationError(file: path, line: nil, key: nil, problem: "cannot be read: \(reason)")
    }
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw refusal(errno) }
    defer { _ = close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while bytes.count <= maximumSize {
      let count = unsafe chunk.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw refusal(errno) }
      if count == 0 { return bytes }
      bytes += chunk[..<count]
    }
    throw ConfigurationError(file: path, line: nil, key: nil, problem: "larger than \(maximumSize) bytes")
  }

  /// Reads YAML that is already in memory; `name` stands in errors where the file's name would.
  public init(text: String, name: String = "-") throws(ConfigurationError) {
    self.name = name
    root = try ConfigurationTree.parse(text, file: name)
    prefix = ""
  }

  private init(item: ConfigurationTree, name: String, prefix: String) {
    self.name = name
    root = item
    self.prefix = prefix
  }

  /// Refuses the first key that was never asked for, and lists the keys that are known beside it.
  public func finish() throws(ConfigurationError) {
    try refuseLeftovers(in: root, under: "")
  }

  /// Whether the key is in the file at all, with any value. Counts as asked for only by a typed get.
  public func contains(_ key: String) -> Bool { find(key) != nil }

  /// The line of a key's value, for errors that the caller raises; `nil` when the key is absent.
  public func line(of key: String) -> Int? { find(key)?.line }

  /// An error about a key, placed at its line.
  public func refusal(_ key: String, _ problem: String) -> ConfigurationError {
    ConfigurationError(file: name, line: line(of: key), key: prefix + key, problem: problem)
  }

  /// Unwraps a value that must be given.
  public func required<Value>(_ key: String, of value: Value?) throws(ConfigurationError) -> Value {
    guard let value else { throw refusal(key, "is required and missing") }
    return value
  }

  /// Finds the value of a dotted key and notes that the program knows it.
  mutating func take(_ key: String) -> ConfigurationTree? {
    asked.insert(key)
    return find(key)
  }

  func mismatch(_ key: String, expected: String, found: ConfigurationTree) -> ConfigurationError {
    ConfigurationError(
      file: name, line: found.line, key: prefix + key,
      problem: "expected \(expected), found \(found.summary)")
  }

  func item(_ tree: ConfigurationTree, of key: String, at index: Int) -> ConfigurationFile {
    ConfigurationFile(item: tree, name: name, prefix: "\(prefix)\(key)[\(index)].")
  }

  private func find(_ key: String) -> ConfigurationTree? {
    var tree = root
    for part in key.split(separator: ".") {
      guard case .mapping(let entries, _) = tree, let entry = entries.first(where: { $0.key == part })
      else { return nil }
      tree = entry.value
    }
    return tree
  }

  private func refuseLeftovers(in tree: ConfigurationTree, under path: String)
    throws(ConfigurationError)
  {
    guard case .mapping(let entries, _) = tree else { return }
    for entry in entries {
      let key = path + entry.key
      if asked.contains(key) { continue }
      guard asked.contains(where: { $0.hasPrefix(key + ".") }) else {
        throw ConfigurationError(
          file: name, line: entry.keyLine, key: prefix + key, problem: "unknown key; \(known(under: path))")
      }
      guard case .mapping = entry.value else {
        throw mismatch(key, expected: "a group of keys", found: entry.value)
      }
      try refuseLeftovers(in: entry.value, under: key + ".")
    }
  }

  private func known(under path: String) -> String {
    let names = asked.filter { $0.hasPrefix(path) }
      .map { String($0.dropFirst(path.count).prefix { $0 != "." }) }
    return "known here: " + Set(names).sorted().joined(separator: ", ")
  }
}
