import Foundation

/// The seed inputs of a target, written by the target itself: `SHADOWMESH_FUZZ_SEEDS=FOLDER` in the
/// environment makes it write them there and end, instead of fuzzing.
public enum SeedCorpus {
  /// To be called from `LLVMFuzzerInitialize`.
  public static func writeIfAsked(_ seeds: () throws -> [(name: String, bytes: [UInt8])]) {
    guard let folder = ProcessInfo.processInfo.environment["SHADOWMESH_FUZZ_SEEDS"] else { return }
    do {
      let url = URL(fileURLWithPath: folder, isDirectory: true)
      try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
      for seed in try seeds() { try Data(seed.bytes).write(to: url.appendingPathComponent(seed.name)) }
    } catch {
      FileHandle.standardError.write(Data("seeds: \(error)\n".utf8))
      exit(1)
    }
    exit(0)
  }
}
