import Foundation

/// Height and width in pixels.
struct Size: Equatable {
    let height: Int
    let width: Int
}

/// One input or output: its name in the graph and its shape. All are float32.
struct TensorSpec: Decodable {
    let name: String
    let shape: [Int]
    var dtype = "float32"

    var count: Int { shape.reduce(1, *) }
}

/// A graph of the bundle: where its file lies in it, the size of its image, what goes in and out.
struct Graph {
    let file: String
    let size: Size
    let inputs: [TensorSpec]
    let outputs: [TensorSpec]

    /// - Returns: the shape of the input of a name.
    func shape(_ name: String) -> [Int] { inputs.first { $0.name == name }!.shape }
}

/// What a bundle says of itself in manifest.json.
struct Manifest {
    /// The graph that is called for each frame.
    let step: Graph
    /// The graph that makes a mask of a box or a tap; nil in a bundle without.
    let promptHead: Graph?
    /// Frames between two entries in the ring of memory slots.
    let memEvery: Int
    /// In [0, 1]: what an object needs at least to be written there.
    let writeConfidence: Float

    private struct File: Decodable {
        struct Memory: Decodable {
            let mem_every: Int
            let write_confidence: Float
        }

        struct Head: Decodable {
            let model_file: String
            let size: [Int]
        }

        let model_file: String
        let size: [Int]
        let inputs: [TensorSpec]
        let outputs: [TensorSpec]
        let memory: Memory
        let prompt_head: Head?
    }

    /// - Parameter data: the content of manifest.json.
    init(data: Data) throws {
        let file = try JSONDecoder().decode(File.self, from: data)
        if let other = (file.inputs + file.outputs).first(where: { $0.dtype != "float32" }) {
            throw Refusal(message: "\(other.name) is \(other.dtype), float32 was expected")
        }
        let size = Size(height: file.size[0], width: file.size[1])
        step = Graph(file: file.model_file, size: size, inputs: file.inputs, outputs: file.outputs)
        promptHead = file.prompt_head.map {
            Manifest.promptGraph(file: $0.model_file, size: Size(height: $0.size[0], width: $0.size[1]))
        }
        memEvery = file.memory.mem_every
        writeConfidence = file.memory.write_confidence
    }

    /// The manifest names the prompt head's file and size; its tensors are always these.
    private static func promptGraph(file: String, size: Size) -> Graph {
        let cells = [size.height / maskStride, size.width / maskStride]
        let inputs = [
            TensorSpec(name: "image", shape: [1, 3, size.height, size.width]),
            TensorSpec(name: "prompt", shape: [1, 4] + cells),
        ]
        let outputs = [TensorSpec(name: "probability", shape: [1, 1] + cells)]
        return Graph(file: file, size: size, inputs: inputs, outputs: outputs)
    }
}
