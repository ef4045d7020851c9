/// A loaded graph: named arrays in, named arrays out, all of them float32 in row-major order.
protocol Engine {
    /// - Parameter inputs: every input of the graph by name.
    /// - Returns: every output by name.
    func run(_ inputs: [String: [Float]]) throws -> [String: [Float]]
}

/// What cannot be done, in words for the user.
struct Refusal: Error {
    let message: String
}
