import CoreML

/// A graph of a bundle in Core ML.
final class CoreMLEngine: Engine {
    private let model: MLModel
    private let graph: Graph

    /// - Parameter bundle: the bundle's folder. Its package is compiled on the phone, at each start.
    init(bundle: URL, graph: Graph) throws {
        let configuration = MLModelConfiguration()
        configuration.computeUnits = .all
        let compiled = try MLModel.compileModel(at: bundle.appendingPathComponent(graph.file))
        model = try MLModel(contentsOf: compiled, configuration: configuration)
        self.graph = graph
    }

    func run(_ inputs: [String: [Float]]) throws -> [String: [Float]] {
        var given: [String: MLMultiArray] = [:]
        for spec in graph.inputs {
            let array = try MLMultiArray(
                shape: spec.shape.map { NSNumber(value: $0) }, dataType: .float32
            )
            let data = inputs[spec.name]!
            array.withUnsafeMutableBufferPointer(ofType: Float.self) { memory, strides in
                for (index, place) in places(spec.shape, strides).enumerated() { memory[place] = data[index] }
            }
            given[spec.name] = array
        }
        let answer = try model.prediction(from: MLDictionaryFeatureProvider(dictionary: given))
        var found: [String: [Float]] = [:]
        for spec in graph.outputs {
            guard let array = answer.featureValue(for: spec.name)?.multiArrayValue else {
                throw Refusal(message: "The model returns no \(spec.name).")
            }
            let strides = array.strides.map { $0.intValue }
            found[spec.name] = array.withUnsafeBufferPointer(ofType: Float.self) { memory in
                places(spec.shape, strides).map { memory.baseAddress![$0] }
            }
        }
        return found
    }
}

/// - Returns: where each number of an array lies in its memory: rows may be padded.
private func places(_ shape: [Int], _ strides: [Int]) -> [Int] {
    zip(shape, strides).reduce([0]) { starts, axis in
        starts.flatMap { start in (0..<axis.0).map { start + $0 * axis.1 } }
    }
}
