@_exported import Foundation

public protocol MLFeatureProvider {
    func featureValue(for name: String) -> MLFeatureValue?
}

public final class MLFeatureValue {
    public var multiArrayValue: MLMultiArray? { fatalError() }
}

public final class MLDictionaryFeatureProvider: MLFeatureProvider {
    public init(dictionary: [String: Any]) throws {}
    public func featureValue(for name: String) -> MLFeatureValue? { fatalError() }
}

public enum MLMultiArrayDataType { case float32 }

public protocol MLShapedArrayScalar {}

extension Float: MLShapedArrayScalar {}

public final class MLMultiArray {
    public init(shape: [NSNumber], dataType: MLMultiArrayDataType) throws {}
    public var strides: [NSNumber] { fatalError() }
    public func withUnsafeBufferPointer<S: MLShapedArrayScalar, R>(
        ofType type: S.Type, _ body: (UnsafeBufferPointer<S>) throws -> R
    ) rethrows -> R { fatalError() }
    public func withUnsafeMutableBufferPointer<S: MLShapedArrayScalar, R>(
        ofType type: S.Type, _ body: (UnsafeMutableBufferPointer<S>, [Int]) throws -> R
    ) rethrows -> R { fatalError() }
}

public enum MLComputeUnits { case all }

public final class MLModelConfiguration {
    public init() {}
    public var computeUnits = MLComputeUnits.all
}

public final class MLModel {
    public static func compileModel(at url: URL) throws -> URL { fatalError() }
    public init(contentsOf url: URL, configuration: MLModelConfiguration) throws {}
    public func prediction(from input: MLFeatureProvider) throws -> MLFeatureProvider { fatalError() }
}
