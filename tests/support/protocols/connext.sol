// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// A stand-in for Connext's connection manager and outbox: messages are hashed, and go nowhere.
contract ConnectionManager {
    uint32 public immutable localDomain;
    uint32 private _nonce;

    constructor(uint32 localDomain_) {
        localDomain = localDomain_;
    }

    function home() external view returns (address) {
        return address(this);
    }

    function dispatch(uint32 destination, bytes32 recipient, bytes calldata body)
        external
        returns (bytes32, bytes memory)
    {
        bytes32 sender = bytes32(uint256(uint160(msg.sender)));
        bytes memory message =
            bytes.concat(abi.encodePacked(localDomain, sender, _nonce++, destination, recipient), body);
        return (keccak256(message), message);
    }
}
