/// Why a configuration was refused, with all that its author needs to put it right.
public struct ConfigurationError: Error, Hashable, Sendable {
  /// The file's name as it was given, or `-` for text that came from no file.
  public let file: String
  /// Counted from 1; `nil` when the whole file is at fault, or a key is missing.
  public let line: Int?
  /// Dotted from the top, `tls.certificate_file`; `nil` when no key is at fault.
  public let key: String?
  /// What was found and what was expected.
  public let problem: String

  public init(file: String, line: Int?, key: String?, problem: String) {
    self.file = file
    self.line = line
    self.key = key
    self.problem = problem
  }
}

extension ConfigurationError: CustomStringConvertible {
  /// `backbone.yaml:7: tls.port: expected a whole number from 1 to 65535, found "many"`.
  public var description: String {
    let place = line.map { "\(file):\($0)" } ?? file
    return key.map { "\(place): \($0): \(problem)" } ?? "\(place): \(problem)"
  }
}
