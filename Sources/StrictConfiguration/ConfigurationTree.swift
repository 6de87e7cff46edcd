import Yams

/// A YAML document as read: every value with its line, nothing interpreted yet.
indirect enum ConfigurationTree: Sendable {
  case scalar(text: String, kind: ScalarKind, line: Int)
  case list([ConfigurationTree], line: Int)
  case mapping([(key: String, keyLine: Int, value: ConfigurationTree)], line: Int)

  /// What YAML's core schema takes a scalar for. Quoted text is always a string.
  enum ScalarKind: Sendable { case string, integer, boolean, null, other }

  var line: Int {
    switch self {
    case .scalar(_, _, let line), .list(_, let line), .mapping(_, let line): line
    }
  }

  /// For error messages: `"many"`, `70000`, `a list`, `nothing`. Text is in quotation marks, so that a number
  /// that was quoted in the file is seen to be text.
  var summary: String {
    switch self {
    case .scalar(_, .null, _): "nothing"
    case .scalar(let text, .string, _): "\"\(text.prefix(60))\""
    case .scalar(let text, _, _): "\(text.prefix(60))"
    case .list: "a list"
    case .mapping: "a group of keys"
    }
  }

  /// Parses YAML text. Anchors are refused, and with them the aliases that would copy what they name: no
  /// configuration needs them.
  static func parse(_ text: String, file: String) throws(ConfigurationError) -> ConfigurationTree {
    let parser: Parser
    let root: Node?
    do {
      parser = try Parser(yaml: text)
      root = try parser.singleRoot()
    } catch let error as YamlError {
      throw syntaxError(error, file: file, text: text)
    } catch {
      throw ConfigurationError(file: file, line: nil, key: nil, problem: "not YAML: \(error)")
    }
    guard let root else { return .mapping([], line: 1) }
    // Nodes hold their anchors weakly; the parser keeps them.
    defer { withExtendedLifetime(parser) {} }
    let tree = try convert(root, file: file, depth: 0)
    switch tree {
    case .mapping: return tree
    case .scalar(_, .null, _): return .mapping([], line: 1)
    default:
      throw ConfigurationError(
        file: file, line: tree.line, key: nil, problem: "expected keys with values, found \(tree.summary)")
    }
  }

  private static func convert(_ node: Node, file: String, depth: Int) throws(ConfigurationError)
    -> ConfigurationTree
  {
    let line = node.mark?.line ?? 1
    guard node.anchor == nil else {
      throw ConfigurationError(file: file, line: line, key: nil, problem: "anchors (&) are not supported")
    }
    guard depth < 8 else {
      throw ConfigurationError(file: file, line: line, key: nil, problem: "nested more than 8 deep")
    }
    switch node {
    case .scalar(let scalar):
      let plain = scalar.style == .plain
      return .scalar(text: scalar.string, kind: plain ? kind(of: node) : .string, line: line)
    case .sequence(let sequence):
      var items: [ConfigurationTree] = []
      for item in sequence { items.append(try convert(item, file: file, depth: depth + 1)) }
      return .list(items, line: line)
    case .mapping(let mapping):
      var entries: [(key: String, keyLine: Int, value: ConfigurationTree)] = []
      var names: Set<String> = []
      for (key, value) in mapping {
        let keyLine = key.mark?.line ?? line
        // A dot would make it look like a path through groups, which it isn't: it would never be read.
        guard let name = key.scalar?.string, !name.isEmpty, !name.contains("."), key.anchor == nil else {
          throw ConfigurationError(
            file: file, line: keyLine, key: key.scalar?.string,
            problem: "expected a plain word as a key, without dots")
        }
        // YAML takes 1 and "1" for two keys; by name they are one.
        guard names.insert(name).inserted else {
          throw ConfigurationError(file: file, line: keyLine, key: name, problem: "given more than once")
        }
        entries.append((name, keyLine, try convert(value, file: file, depth: depth + 1)))
      }
      return .mapping(entries, line: line)
    case .alias:
      throw ConfigurationError(file: file, line: line, key: nil, problem: "aliases are not supported")
    }
  }

  private static func kind(of node: Node) -> ScalarKind {
    switch node.tag.rawValue {
    case "tag:yaml.org,2002:str": .string
    case "tag:yaml.org,2002:int": .integer
    case "tag:yaml.org,2002:bool": .boolean
    case "tag:yaml.org,2002:null": .null
    default: .other
    }
  }

  private static func syntaxError(_ error: YamlError, file: String, text: String) -> ConfigurationError {
    switch error {
    case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
      .composer(_, let problem, let mark, _):
      ConfigurationError(file: file, line: mark.line, key: nil, problem: "not YAML: \(problem)")
    case .duplicatedKeysInMapping(let duplicates, let context):
      duplicate(of: duplicates.sorted().first ?? "", after: context.mark.line, file: file, text: text)
    case .reader(let problem, _, _, _):
      ConfigurationError(file: file, line: nil, key: nil, problem: "not YAML: \(problem)")
    default:
      ConfigurationError(file: file, line: nil, key: nil, problem: "not YAML")
    }
  }

  /// Names the line on which the key stands for the second time, where it stands at the beginning of lines.
  private static func duplicate(of key: String, after first: Int, file: String, text: String)
    -> ConfigurationError
  {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).enumerated().dropFirst(
      first - 1)
    let places = lines.filter { $0.element.drop { $0 == " " }.hasPrefix(key + ":") }
    return ConfigurationError(
      file: file, line: places.count > 1 ? places[1].offset + 1 : first, key: key,
      problem: "given more than once")
  }
}
