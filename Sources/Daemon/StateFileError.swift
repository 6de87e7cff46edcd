/// Why a state file was not read or written. Whatever it is, the old content is as it was.
public struct StateFileError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What stood in the way.
  public enum Reason: Hashable, Sendable {
    /// A file of that name is there and must not be replaced.
    case exists
    case symbolicLink
    /// A directory, a device or the like has the name.
    case notAFile
    /// A secret whose mode lets others read or write it.
    case openToOthers
    /// A secret that belongs to another user.
    case foreignOwner
    /// A secret in a directory where others could replace it.
    case directoryOpenToOthers
    /// More bytes than `limit`.
    case tooLarge(limit: Int)
    case diskFull
    /// Any other error, with what was tried.
    case system(SystemError, String)
  }

  /// The file.
  public let path: String
  /// What stood in the way.
  public let reason: Reason

  /// One line for a person: the file, the reason, the next step.
  public var description: String {
    switch reason {
    case .exists: "\(path) exists already and is left as it is"
    case .symbolicLink: "\(path) is a symbolic link: name the file that it points to"
    case .notAFile: "\(path) is not a regular file"
    case .openToOthers: "\(path) can be read or changed by others: run `chmod 600 \(path)`"
    case .foreignOwner: "\(path) belongs to another user: run `chown` for the user of this program"
    case .directoryOpenToOthers:
      "the directory of \(path) can be changed by others: run `chmod 700` on it as its owner"
    case .tooLarge(let limit): "\(path) would be larger than the \(limit) bytes allowed for it"
    case .diskFull: "no space is left for \(path): free some; what was there is unchanged"
    case .system(let error, let step): "\(path): could not \(step): \(error)"
    }
  }
}
